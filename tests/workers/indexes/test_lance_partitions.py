"""A Lance table gets more partitions as it grows, and an ingest begins with few rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.index_cases import DIM, embedded, unit

from schemas.options import IndexOptions
from schemas.points import IndexQuery
from workers.indexes.lance import queries, upkeep
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


def test_a_few_new_rows_leave_large_files_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_LARGE_FRAGMENT", 100)
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")

    def put_in_order(names: Sequence[str]) -> dict[int, int]:
        """Rows by the numbers of files; each image has eleven, and comes in a file of its own."""
        with closing(open_index(options, DIM, create=True)) as index:
            assert isinstance(index, LanceIndex)
            for place, name in enumerate(names):
                index.replace_images([embedded(name, unit(place, 10))])
            index.optimize()
            fragments = index._table.latest().get_fragments()
            return {each.fragment_id: each.count_rows() for each in fragments}

    first = put_in_order([f"{number}.jpg" for number in range(8)])
    assert list(first.values()) == [80]
    then = put_in_order(["8.jpg", "9.jpg"])
    assert [(number, then[number]) for number in first] == [*first.items()]
    assert sorted(then.values()) == [20, 80]
    # Where much of a file is gone it is written again.
    assert sum(put_in_order([f"{number}.jpg" for number in range(4)]).values()) == 100


def test_a_table_that_is_in_order_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ROWS_TO_INDEX", 10)
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    with closing(open_index(options, DIM, create=True)) as index:
        assert isinstance(index, LanceIndex)
        index.replace_images([embedded("a.jpg", unit(1, 12))])
        index.optimize()
        before = index._table.latest().version
        index.optimize()
        assert index._table.latest().version == before
        index.replace_images([embedded("b.jpg", unit(2, 12))])
        index.optimize()
        new = {each.fragment_id for each in index._table.latest().get_fragments()}
        for described in index._table.latest().describe_indices():
            assert not new.difference(*(each.fragment_ids for each in described.segments))


def test_an_upkeep_is_done_however_often_another_writer_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    list_settled, first = upkeep._list_settled, [embedded(f"{n}.jpg", unit(n, 4)) for n in range(8)]
    monkeypatch.setattr("workers.backoff.time.sleep", lambda _: None)
    with (
        closing(open_index(options, DIM, create=True)) as index,
        closing(open_index(options, DIM)) as other,
    ):
        assert isinstance(index, LanceIndex)
        for image in first:
            index.replace_images([image])

        def overtaken(*arguments: Any) -> list[int]:
            if first:
                other.replace_images([first.pop()])
            return list_settled(*arguments)

        monkeypatch.setattr(upkeep, "_list_settled", overtaken)
        index.optimize()
        assert not first
        assert len(index._table.latest().get_fragments()) == 1
        assert index.count() == 32


def test_what_searches_need_is_read_ahead_where_there_is_memory_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ROWS_TO_INDEX", 100)
    monkeypatch.setattr(upkeep, "_LEAST_ROWS_A_PARTITION", 50)
    monkeypatch.setattr(queries, "_FEW", 10)
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    with closing(open_index(options, DIM, create=True)) as index:
        index.replace_images([embedded(f"{number}.jpg", unit(number, 10)) for number in range(40)])
        index.optimize()

    def count_requests(cache_mb: int) -> tuple[int, int]:
        """Of the first search, where it was warmed up and where not."""
        few = options.model_copy(update={"cache_mb": cache_mb})
        counts = []
        for is_warm in (True, False):
            with closing(open_index(few, None)) as index:
                assert isinstance(index, LanceIndex)
                if is_warm:
                    index.warm_up()
                dataset = index._table.current()
                dataset.io_stats_incremental()
                assert len(index.search(IndexQuery(unit(1, 1)[0], 3))) == 3
                counts.append(dataset.io_stats_incremental().read_iops)
        return counts[0], counts[1]

    warm, cold = count_requests(16)
    assert warm < cold
    warm, cold = count_requests(0)
    assert warm == cold
