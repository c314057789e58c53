"""A Lance table gets more partitions as it grows, and an ingest begins with few rows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support.index_cases import DIM, embedded, unit

from schemas.options import IndexOptions
from workers.indexes.lance import upkeep
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index


@pytest.mark.parametrize(
    ("rows", "partitions"),
    [(1, 1), (5_000, 10), (100_000, 200), (250_000, 500), (1_000_000, 1000), (9_000_000, 3000)],
)
def test_so_many_partitions(rows: int, partitions: int) -> None:
    assert upkeep.partitions_for(rows) == partitions


def test_partitions_are_made_anew_as_the_table_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ROWS_TO_INDEX", 100)
    monkeypatch.setattr(upkeep, "_LEAST_ROWS_A_PARTITION", 50)
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")

    def grow(images: range) -> int:
        with closing(open_index(options, DIM, create=True)) as index:
            assert isinstance(index, LanceIndex)
            index.replace_images([embedded(f"{number}.jpg", unit(number, 10)) for number in images])
            index._upkeep.tidy()
            return upkeep.partitions_of(index._table.latest())

    assert grow(range(20)) == 4
    assert grow(range(20, 24)) == 4
    assert grow(range(24, 50)) == 10
