"""How long an export and an import take, and how much memory.

    python -m bench.transfer --objects 1000000

An index of synthetic objects, 512 numbers each, is made once and kept in --folder. Ours is
`objseek export` as a process of its own; the peer is what a script does, all points read and
written as one table, on as many objects as fit into memory. Memory is the most of its own that a
process held, beyond what it held before: without pages of the index's files, which the kernel has
mapped for it and takes back at need.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.synthetic import OBJECTS_AN_IMAGE, build, images
from pipeline.index_home import open_manifest
from pipeline.settings import Settings
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from schemas.checksums import checksum_of
from schemas.manifest import ManifestRow
from schemas.options import IndexOptions
from workers.indexes.open import open_index

_RESULTS = Path(__file__).parent / "results" / "transfer.json"
_MIB = 2**20
_OF_PEER = 20_000
_LOOKED_EVERY_S = 0.02
_EMBEDDER = "synthetic"


def make(folder: Path, objects: int) -> Settings:
    """The index with its manifest, unless it is there."""
    settings = Settings(index=IndexOptions(location=str(folder / "index")))
    build(folder, objects, _EMBEDDER)
    manifest = open_manifest(settings.index, settings.store)
    if not manifest.exists():
        now = datetime.now(UTC)
        for image in images(objects, _EMBEDDER):
            row = ManifestRow.done(
                image.ref, image.revision, OBJECTS_AN_IMAGE, now, checksum=checksum_of(image)
            )
            manifest.append([row])
        manifest.compact()
    return settings


def by_script(settings: Settings, target: str) -> int:
    """The peer: every point into a list, the list into a table, the table into a file."""
    with closing(open_index(settings.index, None)) as index:
        rows = [
            {"id": point.id, "vector": [] if point.vector is None else point.vector.tolist()}
            | dict(point.payload)
            for point in index.scan()
        ]
    Path(target).mkdir()
    pq.write_table(pa.Table.from_pylist(rows), Path(target) / "points.parquet")
    return len(rows)


def measure(side: str, folder: Path, target: str) -> dict[str, float]:
    """Seconds and MiB of one side, in this process."""
    settings = Settings(index=IndexOptions(location=str(folder / "index")))
    started = time.perf_counter()
    with most_held() as held_mib:
        if side == "export":
            points = export(settings, target).objects
        elif side == "import":
            points = import_dataset(
                Settings(index=IndexOptions(location=target)), str(folder / "export")
            ).points
        else:
            points = by_script(settings, target)
    seconds = time.perf_counter() - started
    return {"points": points, "seconds": round(seconds, 1), "mib": round(max(held_mib))}


@contextmanager
def most_held() -> Iterator[list[float]]:
    """What this process holds of its own, many times a second, in MiB beyond what it held."""
    before, held, ended = _held_mib(), [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOKED_EVERY_S):
            held.append(_held_mib() - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join()


def _held_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return kib / 1024


def elsewhere(side: str, folder: Path, target: Path) -> dict[str, float]:
    """`measure` in a process of its own."""
    shutil.rmtree(target, ignore_errors=True)
    command = [
        sys.executable, "-m", "bench.transfer", "--side", side, "--folder", str(folder),
        "--target", str(target),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/objseek-transfer"))
    parser.add_argument("--importing", action="store_true", help="bring the export in again, too")
    parser.add_argument("--side", choices=("export", "import", "script"), help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, args.folder, args.target)))
        return
    figures: dict[str, Any] = {"cores": len(os.sched_getaffinity(0))}
    for name, objects in (("small", _OF_PEER), (f"of-{args.objects}", args.objects)):
        folder = args.folder / name
        make(folder, objects)
        ours = elsewhere("export", folder, folder / "export")
        size = sum(path.stat().st_size for path in (folder / "export").rglob("*.parquet"))
        print(f"export of {objects:,} objects: {ours}, {size / _MIB:,.0f} MiB written")
        figures[f"export_{objects}"] = ours | {"written_mib": round(size / _MIB)}
        if name == "small":
            peer = elsewhere("script", folder, folder / "script")
            figures[f"script_{objects}"] = peer
            print(
                f"a script on the same: {peer}; it takes {peer['seconds'] / ours['seconds']:.1f} "
                f"times as long and {peer['mib'] / ours['mib']:.1f} times the memory"
            )
        if args.importing:
            brought = elsewhere("import", folder, folder / "imported")
            figures[f"import_{objects}"] = brought
            print(f"import of it: {brought}")
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
