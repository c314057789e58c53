"""Fills a Lance index and Qdrant Edge with the same points, and has the first build its indexes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import boto3
import lance
import pyarrow as pa

from bench.synthetic import DIM, OBJECTS_AN_IMAGE, points_of_images
from pipeline.environment import prepare_lance
from schemas.images import split_s3_uri
from schemas.options import IndexOptions
from workers.indexes.lance.index import LanceIndex
from workers.indexes.lance.rows import table_schema, to_rows
from workers.indexes.lance.storage import storage_options
from workers.indexes.location import LANCE_TABLE, lance_place
from workers.indexes.open import open_index

EMBEDDER = "clip_demo"
_IMAGES_AT_ONCE = 500
_ROWS_A_FRAGMENT = 100_000  # as an ingest leaves them


@dataclass(frozen=True, slots=True)
class Build:
    """What making the indexes of a table takes. `peak_mb` is of the process that does it."""

    seconds: float
    peak_mb: float


def objects_of(points: int) -> int:
    """How many objects of images there are among so many points, as an image is one itself."""
    return points // (OBJECTS_AN_IMAGE + 1) * OBJECTS_AN_IMAGE


def count_rows(options: IndexOptions) -> int:
    """How many rows the table has; 0 without one."""
    ensure_bucket(options)
    with closing(open_index(options, DIM, create=True)) as index:
        return index.count()


def ensure_bucket(options: IndexOptions) -> None:
    bucket, _ = split_s3_uri(lance_place(options.location))
    client = boto3.client("s3", endpoint_url=options.endpoint_url)
    if bucket not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=bucket)


def fill(options: IndexOptions, objects: int, *, sparse: bool = False) -> None:
    """Write the rows of `points_of_images`, some thousand in memory at a time, to a new table."""
    ensure_bucket(options)
    open_index(options, DIM, create=True).close()
    lance.write_dataset(
        pa.RecordBatchReader.from_batches(table_schema(DIM), _batches(objects, sparse)),
        f"{lance_place(options.location)}/{LANCE_TABLE}",
        mode="append",
        max_rows_per_file=_ROWS_A_FRAGMENT,
        storage_options=storage_options(options),
    )


def _batches(objects: int, sparse: bool) -> Iterator[pa.RecordBatch]:
    left = points_of_images(objects, EMBEDDER, sparse=sparse)
    while points := list(chain.from_iterable(islice(left, _IMAGES_AT_ONCE))):
        yield from to_rows(points, DIM, table_schema(DIM)).to_batches()


def optimize(options: IndexOptions) -> Build:
    """Put files together and make all indexes; to be called in a fresh process."""
    prepare_lance()
    started = time.perf_counter()
    with closing(open_index(options, DIM)) as index:
        assert isinstance(index, LanceIndex)
        index.optimize()
    return Build(time.perf_counter() - started, peak_mb())


def peak_mb() -> float:
    """The most memory that this process has had, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def stored_mb(options: IndexOptions) -> float:
    """Bytes below the place of a table, older versions included, in 10^6."""
    bucket, prefix = split_s3_uri(lance_place(options.location))
    client = boto3.client("s3", endpoint_url=options.endpoint_url)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return sum(each["Size"] for page in pages for each in page.get("Contents", ())) / 1e6
