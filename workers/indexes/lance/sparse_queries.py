"""Reads a Lance table for the rows that count most for words, or for a user's sparse vector."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.points import SparseVector
from schemas.records import WORDS_NAME
from workers.indexes.lance.impact_codes import STEPS
from workers.indexes.lance.impact_search import Addresses, Scores, find_best
from workers.indexes.lance.queries import take
from workers.indexes.lance.rows import ROW_ADDRESS, SPARSE_COLUMNS, SparseColumns

if TYPE_CHECKING:
    import lance

# Lists are read side by side: of a bucket, one after the other would wait for each.
_LISTS_AT_ONCE = 32
_lists = ThreadPoolExecutor(_LISTS_AT_ONCE, thread_name_prefix="lance-lists")


class FoundRow(NamedTuple):
    """A row: the id of its point, its address, its sparse vector and the dot product."""

    id: str
    address: int
    sparse: SparseVector
    score: float


def find_by_sparse(
    dataset: lance.LanceDataset, name: str, vector: SparseVector, where: str | None, limit: int
) -> list[FoundRow]:
    """The first `limit` rows under a condition, by the dot product; ties by id.

    `name` is WORDS_NAME, where terms weigh by their rarity too, or SPARSE_NAME.
    """
    columns = SPARSE_COLUMNS[name]
    condition = None if where is None else _lists.submit(_rows_that, dataset, where)
    lists = _read_lists(dataset, columns, vector)
    query = vector
    if name == WORDS_NAME:
        query = _weigh_by_rarity(vector, lists, dataset.count_rows())
    meeting = None if condition is None else np.sort(condition.result())
    rows = pa.table({})

    def find_rows(codes: Sequence[int]) -> list[Addresses]:
        return [_among(lists[code], meeting) for code in codes]

    def score_rows(addresses: Addresses) -> Scores:
        nonlocal rows
        rows = take(dataset, addresses, ["id", *columns.stored])
        rows = rows.append_column(ROW_ADDRESS, pa.array(addresses, pa.uint64()))
        return _score(rows, columns, query)

    _, scores = find_best(query, limit, find_rows, score_rows)
    # By id those on a par with the last, too.
    last = scores[limit - 1] if scores.size > limit else -np.inf
    rows = rows.append_column("score", pa.array(_score(rows, columns, query)))
    rows = rows.filter(pc.greater_equal(rows["score"], last))
    rows = rows.sort_by([("score", "descending"), ("id", "ascending")])[:limit]
    return [
        FoundRow(row["id"], row[ROW_ADDRESS], _to_vector(row, columns), row["score"])
        for row in rows.to_pylist()
    ]


def _to_vector(row: dict[str, Any], columns: SparseColumns) -> SparseVector:
    indices, values = row[columns.indices], row[columns.values]
    return SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))


def _read_lists(
    dataset: lance.LanceDataset, columns: SparseColumns, vector: SparseVector
) -> dict[int, Addresses]:
    """The rows that have each term, by its code at each step of its weight."""
    codes = vector.indices.astype(np.int64)[:, None] * STEPS + np.arange(STEPS)
    wanted: list[int] = codes.ravel().tolist()

    def read(code: int) -> Addresses:
        return _rows_that(dataset, f"array_has({columns.impacts}, {code})")

    return dict(zip(wanted, _lists.map(read, wanted), strict=True))


def _rows_that(dataset: lance.LanceDataset, condition: str) -> Addresses:
    scanner = dataset.scanner(columns=[], filter=condition, with_row_address=True)
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


def _weigh_by_rarity(words: SparseVector, lists: dict[int, Addresses], rows: int) -> SparseVector:
    """Words times their inverse document frequency, as Qdrant counts it for `Modifier.Idf`."""
    # A row has a term with one weight, so that the rows of all steps add up.
    having = np.array(
        [
            sum(lists[term * STEPS + step].size for step in range(STEPS))
            for term in words.indices.tolist()
        ]
    )
    rarity = np.log1p((rows - having + 0.5) / (having + 0.5))
    return SparseVector(words.indices, (words.values * rarity).astype(np.float32))


def _score(rows: pa.Table, columns: SparseColumns, query: SparseVector) -> Scores:
    """The dot products of rows with a query, float64 (n,)."""
    lists, values = (rows[name].combine_chunks() for name in columns.stored)
    terms = lists.flatten().to_numpy()
    order = np.argsort(query.indices)
    place = np.searchsorted(query.indices, terms, sorter=order).clip(max=len(order) - 1)
    known = query.indices[order[place]] == terms
    products = np.where(known, query.values[order[place]] * values.flatten().to_numpy(), 0.0)
    owners = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    scores: Scores = np.bincount(owners, products, len(lists)).astype(np.float64)
    return scores
