"""A bucket of many keys listed from its inventory and held against a manifest: seconds and MB.

    python -m bench.listing --keys 10000000 --format Parquet

The inventory is made here, files of a million keys that are not in the order of keys, and so is the
manifest, in which nine of ten images are done in the version that is listed. What an ingest does
before it works on anything is timed: to read the rows of the manifest, to list, to leave out what
is listed twice, and to look up what is done. Each step is measured in a process of its own, which
goes as far as that step.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq

from bench import manifest as rows
from pipeline.ingestion.listing import LISTED_AT_ONCE, ignore_skipped, list_chunks
from pipeline.manifest.image_keys import FinishedImages
from pipeline.manifest.manifest import Manifest
from schemas.options import StoreOptions
from workers.stores.inventory.manifest import InventoryFormat
from workers.stores.open import build_store

_RESULTS = Path(__file__).parent / "results" / "listing.json"
_KEYS_A_FILE = 1_000_000
_SPAWN = multiprocessing.get_context("spawn")
_DATED = "2026-11-01T01-00Z"


@dataclass(frozen=True)
class Measured:
    """`peak_mib` is what the process had at its highest, above what it began with."""

    images: int
    seconds: float
    cpu_s: float
    peak_mib: float

    def describe(self, name: str, keys: int) -> str:
        each = 2**20 * self.peak_mib / keys
        return (
            f"{name}: {self.images:,} images in {self.seconds:.1f} s "
            f"({self.cpu_s:.1f} s of a core), "
            f"{self.peak_mib:.0f} MiB more at most ({each:.0f} bytes a key)"
        )


@dataclass(frozen=True)
class World:
    """An inventory and a manifest, and how the former is listed."""

    folder: Path
    options: StoreOptions

    @property
    def source(self) -> str:
        return f"{self.folder}/inventory/{_DATED}/manifest.json"

    def finished(self) -> FinishedImages:
        return Manifest(self.folder / "manifest").finished_images(rows.PIPELINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--format", choices=get_args(InventoryFormat), default="Parquet")
    given = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), StoreOptions())
        with ProcessPoolExecutor(1, _SPAWN) as writer:
            writer.submit(write, world.folder, given.keys, given.format).result()
        for step in (list_alone, list_once, read_rows, hold_against_rows):
            with ProcessPoolExecutor(1, _SPAWN) as process:
                measured = process.submit(measure, step, world).result()
            name_of_step = step.__name__.replace("_", " ")
            print(measured.describe(name_of_step, given.keys), flush=True)
            figures[step.__name__] = {
                key: round(value, 1) for key, value in asdict(measured).items()
            }
    _RESULTS.write_text(
        json.dumps({"keys": given.keys, "format": given.format, **figures}, indent=1) + "\n"
    )


def measure(step: Callable[[World], int], world: World) -> Measured:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.monotonic(), time.process_time()
    images = step(world)
    seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return Measured(images, seconds, cpu_s, peak / 2**10)


def list_alone(world: World) -> int:
    """What the store gives, and nothing is remembered."""
    store = build_store(world.source, world.options)
    return sum(1 for _ in store.list_images(ignore_skipped))


def list_once(world: World) -> int:
    """As an ingest lists: every image once."""
    chunks = list_chunks([world.source], world.options, LISTED_AT_ONCE, None, ignore_skipped)
    return sum(map(len, chunks))


def read_rows(world: World) -> int:
    """The rows of the manifest, to be looked into."""
    return len(world.finished())


def hold_against_rows(world: World) -> int:
    """All of it, as an ingest does it: how many images need work."""
    finished = world.finished()
    chunks = list_chunks([world.source], world.options, LISTED_AT_ONCE, None, ignore_skipped)
    return sum(len(refs) - sum(finished.has(refs)) for refs in chunks)


def write(folder: Path, keys: int, format: InventoryFormat) -> None:
    """An inventory of so many keys, and the manifest of an ingest of which it was the source."""
    (folder / "manifest").mkdir()
    rows.write(folder / "manifest", keys)
    data = folder / "inventory" / "data"
    data.mkdir(parents=True)
    (folder / "inventory" / _DATED).mkdir()
    files = []
    for first in range(0, keys, _KEYS_A_FILE):
        path = data / f"{first:012}"
        write_file(path, first, min(first + _KEYS_A_FILE, keys), format)
        content = path.read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        key = f"inventory/data/{path.name}"
        files.append({"key": key, "size": len(content), "MD5checksum": digest})
    manifest = {
        "sourceBucket": "photos",
        "fileFormat": format,
        "fileSchema": "Bucket, Key, Size, ETag, StorageClass",
        "files": files[::-1],
    }
    (folder / "inventory" / _DATED / "manifest.json").write_text(json.dumps(manifest))


def write_file(path: Path, first: int, end: int, format: InventoryFormat) -> None:
    refs = list(rows.listing(first, end, changed=True))
    table = pa.table(
        {
            "bucket": ["photos"] * len(refs),
            "key": [ref.key for ref in refs],
            "size": [ref.size_bytes for ref in refs],
            "e_tag": [ref.version for ref in refs],
            "storage_class": ["STANDARD"] * len(refs),
        }
    )
    if format == "Parquet":
        pq.write_table(table, path)
    elif format == "ORC":
        pyarrow.orc.write_table(table, str(path))
    else:
        with gzip.open(path, "wb", compresslevel=1) as file:
            pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=False))


if __name__ == "__main__":
    main()
