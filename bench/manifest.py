"""A listing held against a manifest, both of many images: seconds, and the most memory.

    python -m bench.manifest --images 10000000

A tenth of the images has changed since. The peer is what one writes at first: a set of all uris
with their versions, made by pyarrow, and a look into it for every image; as many as fit into memory
are given to it. Writing the manifest is not timed. Each is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingestion.listing import LISTED_AT_ONCE
from pipeline.manifest.manifest import Manifest
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.manifest import MANIFEST_SCHEMA, State

_RESULTS = Path(__file__).parent / "results" / "manifest.json"
PIPELINE = "0123456789abcdef"
_ROWS_A_PART = 250_000
_CHANGED_EVERY = 10
_SPAWN = multiprocessing.get_context("spawn")
_MOST_OF_THE_PEER = 1_000_000


@dataclass(frozen=True)
class Measured:
    """`peak_gib` is the resident memory of the process at its highest."""

    images: int
    seconds: float
    cpu_s: float
    rows_s: float
    peak_gib: float

    def describe(self, name: str) -> str:
        return (
            f"{name}: {self.images:,} images listed against as many rows: {self.seconds:.1f} s "
            f"({self.cpu_s:.1f} s of a core), {self.rows_s:.1f} s of it for the rows, "
            f"{self.peak_gib:.2f} GiB at most"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    images: int = parser.parse_args().images
    ours = measured_alone(hold_against, images)
    print(ours.describe("objseek"))
    few = min(images, _MOST_OF_THE_PEER)
    small = ours if few == images else measured_alone(hold_against, few)
    peer = measured_alone(look_up_in_a_set, few)
    print(small.describe("objseek"))
    print(peer.describe("a set of uris and versions"))
    time_ratio, memory_ratio = peer.seconds / small.seconds, peer.peak_gib / small.peak_gib
    print(f"the set takes {time_ratio:.1f} times as long and {memory_ratio:.1f} times the memory")
    figures = {
        **{name: round(value, 2) for name, value in asdict(ours).items()},
        "peer_images": few,
        "time_ratio": round(time_ratio, 2),
        "memory_ratio": round(memory_ratio, 2),
    }
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


def measured_alone(run: Callable[[Path, int], tuple[int, float]], images: int) -> Measured:
    """`run` over a new manifest of so many images, in a process of its own."""
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(1, _SPAWN) as writer:
        writer.submit(write, Path(name), images).result()
        with ProcessPoolExecutor(1, _SPAWN) as process:
            return process.submit(measure, run, Path(name), images).result()


def measure(run: Callable[[Path, int], tuple[int, float]], folder: Path, images: int) -> Measured:
    """Raises SystemExit if `run` does not find the images that have not changed."""
    started, cpu = time.monotonic(), time.process_time()
    unchanged, rows_s = run(folder, images)
    seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    expected = images - len(range(0, images, _CHANGED_EVERY))
    if unchanged != expected:
        raise SystemExit(f"expected {expected:,} images without a change, got {unchanged:,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Measured(images, seconds, cpu_s, rows_s, peak)


def listing(first: int, end: int, *, changed: bool) -> Iterator[ImageRef]:
    """The images of a bucket; `changed`: a tenth of them in another version."""
    for number in range(first, end):
        version = f"{number:032x}"
        if changed and number % _CHANGED_EVERY == 0:
            version = f"{number:031x}x"
        yield ImageRef("s3", "photos", f"2026/11/{number:012}.jpg", version, 250_000)


def write(folder: Path, images: int) -> None:
    """A manifest in which all of the images are done."""
    at = datetime.now(UTC)
    for first in range(0, images, _ROWS_A_PART):
        refs = list(listing(first, min(first + _ROWS_A_PART, images), changed=False))
        rows = len(refs)
        columns = {
            "image_id": [str(image_id(ref)) for ref in refs],
            "uri": [ref.uri for ref in refs],
            "version": [ref.version for ref in refs],
            "size_bytes": [ref.size_bytes for ref in refs],
            "generation": [ref.version for ref in refs],
            "fingerprint": [PIPELINE] * rows,
            "state": [State.DONE.value] * rows,
            "objects": [9] * rows,
            **dict.fromkeys(("stage", "error_class", "message"), [""] * rows),
            "retryable": [False] * rows,
            "attempts": [1] * rows,
            "shots": [0] * rows,
            "checksum": [ref.version for ref in refs],
            "at": [at] * rows,
            "stamp": [""] * rows,
            "boxes": [""] * rows,
        }
        table = pa.table(columns, schema=MANIFEST_SCHEMA)
        pq.write_table(table, folder / f"part-{first:020d}.parquet", compression="zstd")


def hold_against(folder: Path, images: int) -> tuple[int, float]:
    """As an ingest does it: how many images need no work, and the seconds for the rows."""
    started = time.monotonic()
    finished = Manifest(folder).finished_images(PIPELINE)
    rows_s = time.monotonic() - started
    listed = listing(0, images, changed=True)
    unchanged = 0
    while refs := list(islice(listed, LISTED_AT_ONCE)):
        unchanged += sum(finished.has(refs))
    return unchanged, rows_s


def look_up_in_a_set(folder: Path, images: int) -> tuple[int, float]:
    """The same, as one writes it at first."""
    started = time.monotonic()
    columns = ["uri", "version", "state", "fingerprint", "at"]
    rows = pq.read_table(folder, columns=columns).to_pylist()
    rows.sort(key=lambda row: row["at"])
    last = {row["uri"]: row for row in rows}
    finished = {
        (uri, row["version"])
        for uri, row in last.items()
        if row["state"] in ("done", "rejected") and row["fingerprint"] == PIPELINE
    }
    rows_s = time.monotonic() - started
    refs = listing(0, images, changed=True)
    return sum((ref.uri, ref.version) in finished for ref in refs), rows_s


if __name__ == "__main__":
    main()
