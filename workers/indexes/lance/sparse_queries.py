"""Reads a Lance table for the rows that count most for words, or for a user's sparse vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from schemas.points import Point, SparseVector
from schemas.records import WORDS_NAME
from workers.indexes.lance.impact_codes import STEPS, step_code
from workers.indexes.lance.impact_search import SPARE, Addresses, Scores, find_best
from workers.indexes.lance.rows import ROW_ADDRESS, SPARSE_COLUMNS
from workers.indexes.sparse_ranking import dot

if TYPE_CHECKING:
    import lance

# Lists are read side by side: of a bucket, one after the other would wait for each.
_LISTS_AT_ONCE = 32
_lists = ThreadPoolExecutor(_LISTS_AT_ONCE, thread_name_prefix="lance-lists")


class FoundRow(NamedTuple):
    """A row: its address, its point, and the dot product."""

    address: int
    point: Point
    score: float


ReadRows = Callable[[Addresses, Sequence[str]], list[Point]]
"""The points of rows, with what some columns have besides."""


def find_by_sparse(
    dataset: lance.LanceDataset,
    name: str,
    vector: SparseVector,
    where: str | None,
    limit: int,
    read_rows: ReadRows,
    *,
    spare: int = SPARE,
) -> list[FoundRow]:
    """The first `limit` rows under a condition, by the dot product; ties by id.

    `name` is WORDS_NAME, where terms weigh by their rarity too, or SPARSE_NAME. So many rows more,
    `spare`, are looked at where the first cannot be told from others by the index.
    """
    condition = None if where is None else _lists.submit(_rows_that, dataset, where)
    lists = ListsOfRows(dataset, SPARSE_COLUMNS[name].impacts)
    query = _weigh_by_rarity(vector, lists, dataset.count_rows()) if name == WORDS_NAME else vector
    meeting = None if condition is None else np.sort(condition.result())
    stored = [] if name == WORDS_NAME else SPARSE_COLUMNS[name].stored
    rows: list[FoundRow] = []

    def find_rows(codes: Sequence[int]) -> list[Addresses]:
        return [_among(found, meeting) for found in lists.read(codes)]

    def score_rows(addresses: Addresses) -> Scores:
        points = read_rows(addresses, stored)
        vectors = [point.words if name == WORDS_NAME else point.sparse for point in points]
        scores = np.array(
            [0.0 if vector is None else dot(query, vector) for vector in vectors], np.float64
        )
        found = zip(addresses.tolist(), points, scores.tolist(), strict=True)
        rows[:] = [FoundRow(*row) for row in found]
        return scores

    find_best(query, limit, find_rows, score_rows, spare=spare)
    return sorted(rows, key=lambda row: (-row.score, row.point.id))[:limit]


class ListsOfRows:
    """The rows that have each number of a list column, each number looked up once.

    Rows that the index over the column does not have yet are read once for all numbers.
    """

    def __init__(self, dataset: lance.LanceDataset, column: str) -> None:
        self._dataset, self._column = dataset, column
        indexed = {
            fragment
            for index in dataset.describe_indices()
            if index.field_names == [column]
            for segment in index.segments
            for fragment in segment.fragment_ids
        }
        fragments = dataset.get_fragments()
        self._indexed = [each for each in fragments if each.fragment_id in indexed]
        new = [each for each in fragments if each.fragment_id not in indexed]
        self._new = _lists.submit(self._read_new, new) if new else None
        self._rows: dict[int, Addresses] = {}

    def read(self, codes: Sequence[int]) -> list[Addresses]:
        """The rows that have each of some numbers, uint64 (n,) each."""
        unread = [code for code in dict.fromkeys(codes) if code not in self._rows]
        self._rows.update(zip(unread, _lists.map(self._look_up, unread), strict=True))
        return [self._rows[code] for code in codes]

    def _look_up(self, code: int) -> Addresses:
        found = np.zeros(0, np.uint64)
        if self._indexed:
            having = f"array_has({self._column}, {code})"
            found = _rows_that(self._dataset, having, fragments=self._indexed)
        if self._new is None:
            return found
        numbers, addresses = self._new.result()
        first, last = np.searchsorted(numbers, [code, code + 1])
        return np.concatenate([found, addresses[first:last]])

    def _read_new(self, fragments: Sequence[Any]) -> tuple[npt.NDArray[np.int64], Addresses]:
        """All numbers of rows without an index, sorted, and the row of each; (n,) both."""
        table = self._dataset.scanner(
            columns=[self._column], fragments=[*fragments], with_row_address=True
        ).to_table()
        lists = table[self._column].combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        numbers = lists.flatten().to_numpy()
        order = np.argsort(numbers, kind="stable")
        return numbers[order], np.repeat(table[ROW_ADDRESS].to_numpy(), lengths)[order]


def _rows_that(
    dataset: lance.LanceDataset, condition: str, fragments: list[Any] | None = None
) -> Addresses:
    scanner = dataset.scanner(
        columns=[], filter=condition, fragments=fragments, with_row_address=True
    )
    found: Addresses = scanner.to_table()[ROW_ADDRESS].to_numpy()
    return found


def _among(rows: Addresses, meeting: Addresses | None) -> Addresses:
    """Those of the rows that are among others, which are sorted; None: all."""
    if meeting is None or not rows.size:
        return rows
    if not meeting.size:
        return meeting
    place = np.searchsorted(meeting, rows).clip(max=meeting.size - 1)
    among: Addresses = rows[meeting[place] == rows]
    return among


def _weigh_by_rarity(words: SparseVector, lists: ListsOfRows, rows: int) -> SparseVector:
    """Words times their inverse document frequency, as Qdrant counts it for `Modifier.Idf`."""
    terms = words.indices.tolist()
    found = lists.read([step_code(term, step) for term in terms for step in range(STEPS)])
    # A row has a term with one weight, so that the rows of all steps add up.
    having = np.array([each.size for each in found]).reshape(-1, STEPS).sum(axis=1)
    rarity = np.log1p((rows - having + 0.5) / (having + 0.5))
    return SparseVector(words.indices, (words.values * rarity).astype(np.float32))
