"""Good images and bad ones, as many of each: the good are all indexed, the bad have a reason."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import pytest
from support import fakes
from support.image_files import BAD, GOOD, Maker

from pipeline.jobs.ingest import ingest
from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.manifest import State
from schemas.options import DecodeOptions
from workers.images.decode import decode

LONGEST_S, MOST_MIB = 10, 2048
# What a file is called says nothing of what it is.
SUFFIXES = (".jpg", ".png", ".JPEG", ".tif", ".webp", ".gif", ".bmp", ".avif")


@pytest.mark.long
@pytest.mark.parametrize(
    "each", [100, pytest.param(1000, marks=pytest.mark.faults)], ids=["short", "whole"]
)
def test_bad_images_harm_only_themselves(
    each: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    good, bad = (write(images, kinds, each) for kinds in (GOOD, BAD))
    settings = fakes.settings(tmp_path / "index")
    counts = ingest([str(images)], settings, recipe=fakes.recipe(settings)).counts
    rows = fakes.rows(settings)
    states = Counter((name in good, row.state) for name, row in rows.items())
    unexplained = [name for name in bad if str(images / name) not in rows[name].message]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        slowest_s, slowest, grown_mib = process.submit(worst, images, bad).result()
    with capsys.disabled():
        print(
            f"\n{len(good)} good images of {len(GOOD)} kinds and {len(bad)} bad ones of "
            f"{len(BAD)}: {counts.done} indexed, {counts.rejected} rejected, each with its reason; "
            f"the slowest of the bad took {slowest_s:.2f} s ({slowest}), all of them one after the "
            f"other {grown_mib:.0f} MiB more than before at most"
        )
    assert states == {(True, State.DONE): each, (False, State.REJECTED): each}
    assert (counts.done, counts.rejected, unexplained) == (each, each, [])
    assert len(BAD) >= 25
    assert slowest_s <= LONGEST_S
    assert grown_mib <= MOST_MIB


def write(folder: Path, kinds: dict[str, Maker], count: int) -> list[str]:
    """The names of `count` files that differ, of all kinds by turns."""
    names = []
    for number, (kind, suffix) in enumerate(islice(zip(cycle(kinds), cycle(SUFFIXES)), count)):
        name = f"{kind.replace(' ', '-')}-{number}{suffix}"
        (folder / name).write_bytes(kinds[kind](number))
        names.append(name)
    return names


def worst(folder: Path, names: list[str]) -> tuple[float, str, float]:
    """Seconds and name of the one that took longest, and by how many MiB the process grew."""
    seconds = dict.fromkeys(names, 0.0)
    before = peak_mib()
    for name in names:
        data = (folder / name).read_bytes()
        # Of the CPU: a busy machine takes longer.
        started = time.process_time()
        with pytest.raises(BadImageError):
            decode(data, ImageRef("file", "", name, "v", len(data)), DecodeOptions())
        seconds[name] = time.process_time() - started
    slowest = max(seconds, key=seconds.__getitem__)
    return seconds[slowest], slowest, peak_mib() - before


def peak_mib() -> float:
    """Of this process since it began; ru_maxrss also tells of the one that has started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
