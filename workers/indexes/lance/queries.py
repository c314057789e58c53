"""Reads a Lance table: the nearest points, rows by their addresses, values and their counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.records import Float32Matrix, Float32Vector
from workers.indexes.lance.impact_search import Addresses
from workers.indexes.lance.rows import DISTANCE, ROW_ADDRESS, VECTOR

if TYPE_CHECKING:
    import lance

# So many more points than wanted are found by four bits a number, and ranked by all: a request
# each.
_TIMES_MORE, _MOST_MORE = 4, 40
# Fewer partitions miss neighbours of texts, whose vectors lie apart from those of objects.
_PARTITIONS = 20
_MOST_PARTITIONS = 400
# The vectors of so few are all read: partitions would be many, and none of them certain.
_FEW = 5000


def find_nearest(
    dataset: lance.LanceDataset,
    vector: Float32Vector,
    where: str | None,
    limit: int,
    *,
    exact: bool = False,
    as_pool: bool = False,
    column: str = VECTOR,
) -> Addresses:
    """The addresses of the `limit` nearest rows under a condition, and of some more, uint64 (n,).

    Nearly in the order of their distances. As a pool that other things rank, there are no more: the
    last of it hardly matter. The more rows a condition leaves out, the more partitions are looked
    at; of few rows each is. `column` has the vectors; rows in which it is null are none of them.
    """
    if not dataset.count_rows():
        return np.zeros(0, np.uint64)
    nearest = _plan(dataset, where, limit, exact=exact, as_pool=as_pool) | {"column": column}
    scanner = dataset.scanner(
        columns=[DISTANCE],
        nearest=nearest | {"q": vector},
        filter=where,
        prefilter=True,
        with_row_address=True,
    )
    found: Addresses = scanner.to_table()[ROW_ADDRESS].to_numpy()
    return found


def sample(dataset: lance.LanceDataset, where: str | None, limit: int) -> Addresses:
    """The addresses of up to `limit` rows under a condition, chosen at random, uint64 (n,)."""
    scanner = dataset.scanner(columns=[], filter=where, with_row_address=True)
    addresses: Addresses = scanner.to_table()[ROW_ADDRESS].to_numpy()
    if addresses.size <= limit:
        return addresses
    return np.sort(np.random.default_rng().choice(addresses, limit, replace=False))


def _plan(
    dataset: lance.LanceDataset, where: str | None, limit: int, *, exact: bool, as_pool: bool
) -> dict[str, Any]:
    """How the nearest rows to a vector are looked for, but for that vector."""
    rows = dataset.count_rows()
    matching = rows if where is None else dataset.count_rows(where)
    nearest: dict[str, Any] = {"column": VECTOR, "k": limit, "metric": "cosine"}
    if exact or matching <= max(_FEW, limit):
        return nearest | {"use_index": False}
    # What is near among a share of the rows lies further away, but not as much further.
    probes = min(_MOST_PARTITIONS, math.ceil(_PARTITIONS * math.sqrt(rows / matching)))
    nearest |= {"minimum_nprobes": probes, "maximum_nprobes": probes}
    if not as_pool:
        nearest["k"] = min(_TIMES_MORE * limit, limit + _MOST_MORE)
    return nearest


def find_neighbours(
    dataset: lance.LanceDataset,
    vectors: Float32Matrix,
    where: str | None,
    limit: int,
    threshold: float,
) -> list[list[tuple[UUID, float]]]:
    """Of each row the ids and cosines of the `limit` nearest rows above `threshold`, best first."""
    if not dataset.count_rows():
        return [[] for _ in vectors]
    nearest = _plan(dataset, where, limit, exact=False, as_pool=False)
    found = []
    for vector in vectors:
        scanner = dataset.scanner(
            columns=["id", VECTOR], nearest=nearest | {"q": vector}, filter=where, prefilter=True
        )
        found.append(_score(scanner.to_table(), vector, threshold)[:limit])
    return found


def _score(table: pa.Table, vector: Float32Vector, threshold: float) -> list[tuple[UUID, float]]:
    """Ids and cosines of rows, of those above the threshold; best first, ties by id."""
    ids = table["id"].to_pylist()
    flat = table[VECTOR].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    rows = flat.reshape(len(ids), -1) if ids else np.zeros((0, vector.size), np.float32)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    cosines = rows @ vector / np.maximum(lengths, np.finfo(np.float32).tiny)
    scored = [
        (UUID(name), float(cosine))
        for name, cosine in zip(ids, cosines, strict=True)
        if cosine > threshold
    ]
    return sorted(scored, key=lambda pair: (-pair[1], str(pair[0])))


def take(dataset: lance.LanceDataset, addresses: Addresses, columns: list[str]) -> pa.Table:
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
