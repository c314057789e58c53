"""Reads a Lance table: the nearest points, what counts most for words, values and counts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.points import SparseVector
from schemas.records import WORDS_NAME, Float32Vector
from workers.indexes.lance.impact_codes import STEPS
from workers.indexes.lance.impact_search import Addresses, Scores, find_best
from workers.indexes.lance.rows import (
    DISTANCE,
    ROW_ADDRESS,
    SPARSE_COLUMNS,
    VECTOR,
    SparseColumns,
    payload_columns,
)

if TYPE_CHECKING:
    import lance

# So many more points are compared by their whole vectors than by four bits a number.
_REFINED, _REFINED_OF_MANY, _MANY = 4, 2, 40
_PARTITIONS = 20
_MOST_PARTITIONS = 400
# The vectors of so few are all read: partitions would be many, and none of them certain.
_FEW = 5000
_LISTS_AT_ONCE = 16
_lists = ThreadPoolExecutor(_LISTS_AT_ONCE, thread_name_prefix="lance-lists")


def find_nearest(
    dataset: lance.LanceDataset,
    vector: Float32Vector,
    where: str | None,
    limit: int,
    *,
    exact: bool = False,
) -> pa.Table:
    """The `limit` nearest rows under a condition, with what hits show and their distance.

    The more rows a condition leaves out, the more partitions are looked at; of few rows each is.
    """
    rows = dataset.count_rows()
    if not rows:
        return dataset.schema.empty_table().append_column(DISTANCE, pa.array([], pa.float32()))
    matching = rows if where is None else dataset.count_rows(where)
    nearest = {"column": VECTOR, "q": vector, "k": limit, "metric": "cosine"}
    if exact or matching <= max(_FEW, limit):
        nearest["use_index"] = False
    else:
        probes = min(_MOST_PARTITIONS, -(-_PARTITIONS * rows // matching))
        nearest["minimum_nprobes"] = nearest["maximum_nprobes"] = probes
        nearest["refine_factor"] = _REFINED if limit < _MANY else _REFINED_OF_MANY
    columns = [*payload_columns(dataset.schema), DISTANCE]
    scanner = dataset.scanner(columns=columns, nearest=nearest, filter=where, prefilter=True)
    return scanner.to_table()


def find_by_sparse(
    dataset: lance.LanceDataset,
    columns: SparseColumns,
    query: SparseVector,
    where: str | None,
    limit: int,
) -> list[tuple[str, float]]:
    """The first `limit` ids and scores by the dot product; ties by id."""

    def find_rows(codes: Sequence[int]) -> list[Addresses]:
        return list(
            _lists.map(lambda code: _rows_with(dataset, columns.impacts, code, where), codes)
        )

    def score_rows(addresses: Addresses) -> Scores:
        return _score_rows(dataset, columns, query, addresses)

    addresses, scores = find_best(query, limit, find_rows, score_rows)
    # Those on a par with the last, to take the first by id.
    last = scores[limit - 1] if scores.size > limit else -np.inf
    chosen = scores >= last
    ids = _take(dataset, addresses[chosen], ["id"])["id"].to_pylist()
    found = sorted(zip(ids, scores[chosen].tolist(), strict=True), key=lambda each: each[::-1])
    return sorted(found, key=lambda each: (-each[1], each[0]))[:limit]


def _rows_with(dataset: lance.LanceDataset, column: str, code: int, where: str | None) -> Addresses:
    condition = f"array_has({column}, {code})"
    condition = condition if where is None else f"{condition} AND {where}"
    scanner = dataset.scanner(columns=[], filter=condition, with_row_address=True)
    found: Addresses = scanner.to_table()[ROW_ADDRESS].to_numpy()
    return found


def weigh_by_rarity(dataset: lance.LanceDataset, words: SparseVector) -> SparseVector:
    """Words times their inverse document frequency, as Qdrant counts it for `Modifier.Idf`."""
    impacts = SPARSE_COLUMNS[WORDS_NAME].impacts

    def count(term: int) -> int:
        codes = ", ".join(str(term * STEPS + step) for step in range(STEPS))
        return int(dataset.count_rows(f"array_has_any({impacts}, [{codes}])"))

    having = np.array(list(_lists.map(count, words.indices.tolist())), np.float64)
    rows = dataset.count_rows()
    rarity = np.log1p((rows - having + 0.5) / (having + 0.5))
    return SparseVector(words.indices, (words.values * rarity).astype(np.float32))


def _score_rows(
    dataset: lance.LanceDataset, columns: SparseColumns, query: SparseVector, addresses: Addresses
) -> Scores:
    """The dot products of rows with a query, float64 (n,)."""
    table = _take(dataset, addresses, columns.stored)
    lists, values = (table[name].combine_chunks() for name in columns.stored)
    terms = lists.flatten().to_numpy()
    order = np.argsort(query.indices)
    place = np.searchsorted(query.indices, terms, sorter=order).clip(max=len(order) - 1)
    known = query.indices[order[place]] == terms
    products = np.where(known, query.values[order[place]] * values.flatten().to_numpy(), 0.0)
    owners = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    scores: Scores = np.bincount(owners, products, len(lists)).astype(np.float64)
    return scores


def _take(dataset: lance.LanceDataset, addresses: Addresses, columns: list[str]) -> pa.Table:
    """These columns of rows, in their order."""
    if not addresses.size:
        return dataset.schema.empty_table().select(columns)
    return dataset._take_rows(addresses.tolist(), columns=columns)


def count_values(
    dataset: lance.LanceDataset, column: str, where: str | None, most: int
) -> dict[str, int]:
    """How many rows have each value of a column, of a list column each of its texts."""
    place = 0
    name = column
    if column.endswith("[0]"):
        name, place = column.removesuffix("[0]"), 1
    counts: dict[str, int] = {}
    scanner = dataset.scanner(columns=[name], filter=where, batch_size=65_536)
    for batch in scanner.to_batches():
        values = batch.column(0)
        if pa.types.is_list(values.type):
            values = pc.list_element(_of_length(values), 0) if place else _each_once(values)
        for item in pc.value_counts(values).to_pylist():
            if item["values"] is not None:
                counts[item["values"]] = counts.get(item["values"], 0) + item["counts"]
    first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return dict(first)


def _of_length(lists: pa.ListArray) -> pa.ListArray:
    return lists.filter(pc.greater(pc.fill_null(pc.list_value_length(lists), 0), 0))


def _each_once(lists: pa.ListArray) -> pa.Array:
    """The values of lists; one that stands twice in a list counts once."""
    owners = pc.list_parent_indices(lists)
    pairs = pa.table({"owner": owners, "value": pc.list_flatten(lists)})
    return pairs.group_by(["owner", "value"]).aggregate([])["value"].combine_chunks()
