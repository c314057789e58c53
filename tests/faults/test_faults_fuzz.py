"""Mutated files by the thousand: the decoder decodes, refuses, or is seen to die of one of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from support.image_files import GOOD
from support.paths import ROOT

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode

SEED = 29
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
SECONDS = float(os.environ.get("OBJSEEK_TEST_FUZZ_S", 20 * 60))
BATCH = 2000
A_FILE_S = 30.0
"""What a reader may take for an image, by default."""
VALUES = (0, 1, 0x7F, 0x80, 0xFF)
# Beyond it a mutation of a few bytes in the header is a few hundred MB of pixels.
LIMITS = DecodeOptions(max_pixels=4_000_000)


@dataclass
class MutationCounts:
    """What became of files, by number: those that were killed or hung are named."""

    decoded: int = 0
    refused: int = 0
    out_of_memory: int = 0
    fatal: dict[int, str] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return self.decoded + self.refused + self.out_of_memory + len(self.fatal)


@pytest.mark.long
@pytest.mark.parametrize(
    "seconds", [5.0, pytest.param(SECONDS, marks=pytest.mark.faults)], ids=["short", "whole"]
)
def test_every_mutation_is_accounted_for(
    seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = MutationCounts()
    started, first = time.monotonic(), 0
    while time.monotonic() - started < seconds or not first:
        run(first, first + BATCH, counts)
        first += BATCH
    taken = time.monotonic() - started
    with capsys.disabled():
        named = ", ".join(f"{number} {how}" for number, how in sorted(counts.fatal.items()))
        print(
            f"\n{counts.files:,} mutations of {len(GOOD)} kinds of files, seed {SEED}, in "
            f"{taken:.0f} s: {counts.decoded:,} decoded, {counts.refused:,} refused, "
            f"{counts.out_of_memory} out of memory, {len(counts.fatal)} killed the decoder or hung "
            f"({named or 'none'}), {first - counts.files} unaccounted for"
        )
    assert counts.files == first
    assert counts.decoded > 0
    assert counts.refused > 0


def run(first: int, end: int, counts: MutationCounts) -> None:
    """Decode the mutations of these numbers in another process; halve where it does not survive."""
    limit_s = 60.0 + A_FILE_S
    with contextlib.suppress(subprocess.TimeoutExpired):
        job = subprocess.run(
            [sys.executable, str(Path(__file__)), str(first), str(end)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=limit_s,
        )
        if job.returncode == 0:
            decoded, refused, out_of_memory = map(int, job.stdout.split())
            counts.decoded += decoded
            counts.refused += refused
            counts.out_of_memory += out_of_memory
            return
        # An exception of Python is a bug of ours, not a decoder's end.
        assert job.returncode < 0, job.stderr
        if end - first == 1:
            counts.fatal[first] = f"ended by signal {-job.returncode}"
            return
    if end - first == 1:
        counts.fatal[first] = f"took longer than {limit_s:g} s"
        return
    middle = (first + end) // 2
    run(first, middle, counts)
    run(middle, end, counts)


def mutations(first: int, end: int) -> Iterator[bytes]:
    """The mutated files of these numbers: each the same whatever was made before it."""
    valid = [make(7) for make in GOOD.values()]
    for number in range(first, end):
        chance = np.random.default_rng([SEED, number])
        data = bytearray(valid[chance.integers(len(valid))])
        for _ in range(chance.integers(1, 4)):
            MUTATIONS[chance.integers(len(MUTATIONS))](data, chance, valid)
        yield bytes(data)


def flip_bits(data: bytearray, chance: np.random.Generator, valid: list[bytes]) -> None:
    for place in chance.integers(len(data), size=chance.integers(1, 20)):
        data[place] ^= 1 << int(chance.integers(8))


def put_extremes(data: bytearray, chance: np.random.Generator, valid: list[bytes]) -> None:
    # Where headers are, more often than not.
    place = int(chance.integers(min(len(data), 64 if chance.random() < 0.7 else len(data))))
    length = int(chance.choice([1, 2, 4, 8]))
    data[place : place + length] = bytes([int(chance.choice(VALUES))] * length)[: len(data) - place]


def cut(data: bytearray, chance: np.random.Generator, valid: list[bytes]) -> None:
    del data[max(1, int(chance.integers(len(data)))) :]


def repeat(data: bytearray, chance: np.random.Generator, valid: list[bytes]) -> None:
    first, length = int(chance.integers(len(data))), int(chance.integers(1, 200))
    data[first:first] = data[first : first + length]


def drop(data: bytearray, chance: np.random.Generator, valid: list[bytes]) -> None:
    first = int(chance.integers(1, max(2, len(data))))
    del data[first : first + int(chance.integers(1, 200))]


def splice(data: bytearray, chance: np.random.Generator, valid: list[bytes]) -> None:
    other = valid[chance.integers(len(valid))]
    first = int(chance.integers(len(other)))
    data[int(chance.integers(1, max(2, len(data)))) :] = other[first:]


MUTATIONS = (flip_bits, put_extremes, cut, repeat, drop, splice)


def main(first: str, end: str) -> None:
    """Decode, and print how many were decoded, refused, and too large for the memory."""
    counts: Counter[str] = Counter()
    for number, data in enumerate(mutations(int(first), int(end)), start=int(first)):
        ref = ImageRef("file", "", f"{number}", "v", len(data))
        try:
            pixels = decode(data, ref, LIMITS).pixels
            assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)
            counts["decoded"] += 1
        except BadImageError:
            counts["refused"] += 1
        except MemoryError:
            counts["out of memory"] += 1
    print(counts["decoded"], counts["refused"], counts["out of memory"])


if __name__ == "__main__":
    main(*sys.argv[1:])
