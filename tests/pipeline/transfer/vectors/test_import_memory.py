"""The memory of an import does not grow with its rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import vector_world

from pipeline.transfer.vectors import grouping
from schemas.points import Point
from workers.indexes.edge.index import EdgeIndex

pytestmark = pytest.mark.long
_ROWS, _DIM = 200_000, 64
_MOST_GROWTH = 24 * 2**20
"""Bytes, of which the vectors that pass by meanwhile take twice as many."""


def write_rows(path: Path, *, scattered: bool) -> None:
    schema = pa.schema([("uri", pa.string()), ("vector", pa.list_(pa.float32(), _DIM))])
    random = np.random.default_rng(0)
    # A prime, so that the two rows of an image are far from each other.
    numbers = np.arange(_ROWS) * 7919 % _ROWS // 2 if scattered else np.arange(_ROWS)
    with pq.ParquetWriter(path, schema) as writer:
        for part in np.split(numbers, 10):
            flat = random.standard_normal(len(part) * _DIM).astype(np.float32)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat), _DIM)
            uris = pa.array([f"s3://shop/{number}.jpg" for number in part.tolist()])
            writer.write_batch(pa.record_batch([uris, vectors], schema=schema))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("scattered", [False, True])
def test_memory_does_not_grow_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scattered: bool
) -> None:
    seen: list[int] = []

    def discard(
        self: EdgeIndex, points: Mapping[UUID, Sequence[Point]], run_started_at: datetime
    ) -> set[UUID]:
        seen.append(resident_bytes())
        return set()

    monkeypatch.setattr(EdgeIndex, "replace_points", discard)
    monkeypatch.setattr(grouping, "_PART_BYTES", 4 * 2**20)
    path = tmp_path / "v.parquet"
    write_rows(path, scattered=scattered)
    result = vector_world.bring(vector_world.settings(tmp_path / "index"), path)
    assert (result.rows, result.written) == (_ROWS, _ROWS // (1 + scattered))
    # The second of two rows of one whole image is refused.
    assert result.refused_count == scattered * _ROWS // 2
    assert len(seen) >= 40
    settled = len(seen) // 5
    assert max(seen[settled:]) - max(seen[:settled]) < _MOST_GROWTH
