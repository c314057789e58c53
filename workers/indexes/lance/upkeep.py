"""Keeps a Lance table quick: indexes over its columns, few large files, few old versions."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from schemas.errors import VectorIndexError
from schemas.named_vectors import dims_of, stored_name
from schemas.records import WORDS_NAME
from schemas.tags import TAGS
from workers.freed_memory import return_freed_memory
from workers.indexes.lance import own_columns
from workers.indexes.lance.old_versions import drop_unread
from workers.indexes.lance.rows import SPARSE_COLUMNS, VECTOR
from workers.indexes.lance.table import LanceTable

if TYPE_CHECKING:
    import lance

_log = logging.getLogger(__name__)
ROWS_TO_TIDY = 20_000
"""Written since the last time; a search compares whole vectors of rows that no index has."""
_ROWS_TO_INDEX = 5_000
# A query reads some whole partitions. Of few rows these are to be few, as texts need most of them;
# of many, as many partitions as each has rows cost least to make and to read.
_LEAST_ROWS_A_PARTITION = 500
_BITS = 4
# Rows. Those of one that is made of others are in memory for the most part.
_SMALL_FRAGMENT, _LARGE_FRAGMENT = 100_000, 2**19
# Times as many partitions as there are. Each time the rows are at least twice as many, so that all
# times together cost at most twice what the last does.
_RETRAINED_AT = 2
_MOST_DELETED = 0.1  # of the rows of a file
_BITMAPS = ("kind", "store", "bucket", "segmenter", "embedder", "labelled_by", "level")
_TREES = (
    "id", "image_id", "uri", "key", "area_frac", "predicted_iou", "ordinal", "run_started_at",
    "ingested_at", "t_start", "segmenter_label",
)  # fmt: skip
_LISTS = ("labels", *(columns.impacts for columns in SPARSE_COLUMNS.values()))


WARM_INDEXES = tuple(
    f"{column}_idx" for column in ("kind", VECTOR, SPARSE_COLUMNS[WORDS_NAME].impacts)
)
"""What a search by a text reads of."""


class Upkeep:
    """What is done between the commits of a writer."""

    def __init__(self, table: LanceTable) -> None:
        self._table = table
        self._written = 0

    def note_written(self, rows: int) -> None:
        """Count rows, and tidy up once they are many."""
        self._written += rows
        if self._written >= ROWS_TO_TIDY:
            self.tidy()

    def close(self) -> None:
        """Tidy up after a writer that has written much; no error where another does it."""
        if self._written >= _ROWS_TO_INDEX:
            self.tidy()

    def tidy(self) -> None:
        """Put small files together, index new rows, drop versions unread for a day.

        Partitions are made anew where the table has grown much: an ingest begins with few rows.
        """
        self._written = 0
        try:
            self._do(_SMALL_FRAGMENT)
        except VectorIndexError as exc:
            # What was written is there: next time is soon enough.
            _log.warning("the index was not tidied up: %s", exc)

    def optimize(self) -> None:
        """The same for all files. Raises VectorIndexError where it could not be done."""
        self._written = 0
        self._do(_LARGE_FRAGMENT)

    def _do(self, rows_a_fragment: int) -> None:
        def attempt() -> None:
            dataset = self._table.latest()
            with self._table.raising_errors():
                self._table.adopt(_tidy(dataset, rows_a_fragment))

        self._table.retry(attempt, "upkeep of")


def _tidy(dataset: lance.LanceDataset, rows_a_fragment: int) -> Any:
    # Not the one that others read: it goes on to the version that it makes.
    dataset = dataset.checkout_version(dataset.version)
    dataset.optimize.compact_files(
        target_rows_per_fragment=rows_a_fragment,
        excluded_fragment_ids=_list_settled(dataset, rows_a_fragment),
        num_threads=1,
    )
    return_freed_memory()
    rows = dataset.count_rows()
    if rows >= _ROWS_TO_INDEX:
        _index(dataset, rows)
    drop_unread(dataset, datetime.now(UTC))
    return dataset


def _list_settled(dataset: lance.LanceDataset, rows_a_fragment: int) -> list[int]:
    """The files that stay: Lance would write half a million rows again for the few beside them."""
    settled = []
    for fragment in dataset.get_fragments():
        rows = fragment.metadata.physical_rows
        is_large = 2 * rows >= rows_a_fragment
        if is_large and fragment.num_deletions <= _MOST_DELETED * rows:
            settled.append(fragment.fragment_id)
    return settled


def _index(dataset: lance.LanceDataset, rows: int) -> None:
    """Make the indexes that are not there; add new rows to the others."""
    there = {index.name for index in dataset.describe_indices()}
    kinds: dict[str, Literal["BITMAP", "BTREE", "LABEL_LIST"]] = {
        **dict.fromkeys(_BITMAPS, "BITMAP"),
        **dict.fromkeys(_TREES, "BTREE"),
        **dict.fromkeys(_LISTS, "LABEL_LIST"),
        **({TAGS: "LABEL_LIST"} if TAGS in dataset.schema.names else {}),
        **{
            column: "BTREE" if kind == "number" else "LABEL_LIST"
            for column, kind in own_columns.kinds_of(dataset.schema).items()
        },
    }
    if behind := _list_behind(dataset):
        dataset.optimize.optimize_indices(index_names=behind)
    for column, kind in kinds.items():
        if f"{column}_idx" not in there:
            dataset.create_scalar_index(column, kind)
    _index_vectors(dataset, VECTOR, rows, made=f"{VECTOR}_idx" in there)
    for column in map(stored_name, dims_of(dataset.schema)):
        # Of which many rows may have none: few are compared one by one.
        having = dataset.count_rows(f"{column} IS NOT NULL")
        if having >= _ROWS_TO_INDEX:
            _index_vectors(dataset, column, having, made=f"{column}_idx" in there)


def _index_vectors(dataset: lance.LanceDataset, column: str, rows: int, *, made: bool) -> None:
    """Make the index of a column that so many rows have a vector in, if it is not there."""
    partitions = partitions_for(rows)
    if not made or partitions >= _RETRAINED_AT * partitions_of(dataset, column):
        dataset.create_index(
            column,
            "IVF_RQ",
            metric="cosine",
            num_partitions=partitions,
            num_bits=_BITS,
            replace=True,
        )


def _list_behind(dataset: lance.LanceDataset) -> list[str]:
    """The indexes that have not all rows: Lance would write the others again, too."""
    fragments = {each.fragment_id for each in dataset.get_fragments()}
    return [
        index.name
        for index in dataset.describe_indices()
        if fragments.difference(*(segment.fragment_ids for segment in index.segments))
    ]


def partitions_for(rows: int) -> int:
    """How many partitions so many rows are to have."""
    return max(1, min(rows // _LEAST_ROWS_A_PARTITION, math.isqrt(rows)))


def partitions_of(dataset: lance.LanceDataset, column: str = VECTOR) -> int:
    """How many partitions the index of a column of vectors has."""
    statistics = dataset.stats.index_stats(f"{column}_idx")
    return max(int(index.get("num_partitions", 1)) for index in statistics["indices"])
