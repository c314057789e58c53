"""A listing held against a manifest, both of many images: seconds, and the most memory.

    python -m bench.manifest --images 10000000

A tenth of the images has changed since. Writing the manifest is not timed, and is done by another
process than the one whose memory is told.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest import Manifest
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.manifest import MANIFEST_SCHEMA, State

_RESULTS = Path(__file__).parent / "results" / "manifest.json"
_PIPELINE = "0123456789abcdef"
_ROWS_A_PART = 250_000
_CHANGED_EVERY = 10
_CHUNK = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    images: int = parser.parse_args().images
    with tempfile.TemporaryDirectory() as name:
        for run in (write, hold_against):
            process = multiprocessing.get_context("spawn").Process(
                target=run, args=(Path(name), images)
            )
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)


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
            "fingerprint": [_PIPELINE] * rows,
            "state": [State.DONE.value] * rows,
            "objects": [9] * rows,
            **dict.fromkeys(("stage", "error_class", "message"), [""] * rows),
            "retryable": [False] * rows,
            "attempts": [1] * rows,
            "checksum": [ref.version for ref in refs],
            "at": [at] * rows,
        }
        table = pa.table(columns, schema=MANIFEST_SCHEMA)
        pq.write_table(table, folder / f"part-{first:020d}.parquet", compression="zstd")


def hold_against(folder: Path, images: int) -> None:
    """Find out what is to be done, hold it against what it should be, and print the figures."""
    started = time.monotonic()
    finished = Manifest(folder).finished(_PIPELINE)
    read_s = time.monotonic() - started
    unchanged, chunk = 0, []
    for ref in listing(0, images, changed=True):
        chunk.append(ref)
        if len(chunk) == _CHUNK:
            unchanged += sum(finished.among(chunk))
            chunk = []
    unchanged += sum(finished.among(chunk))
    seconds = time.monotonic() - started
    expected = images - len(range(0, images, _CHANGED_EVERY))
    if unchanged != expected:
        raise SystemExit(f"expected {expected:,} images without a change, got {unchanged:,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{images:,} images listed against {images:,} rows: {seconds:.1f} s, {read_s:.1f} s of it "
        f"for the rows, {peak:.2f} GiB at most; {unchanged:,} need no work"
    )
    figures = {
        "images": images, "seconds": round(seconds, 1), "rows_s": round(read_s, 1),
        "peak_gib": round(peak, 2),
    }  # fmt: skip
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
