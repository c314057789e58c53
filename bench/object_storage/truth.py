"""Finds what an index should answer, exactly: one pass over all rows of its table, in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.object_storage.questions import CANDIDATES, FILTERS, FIRST, Answer, Queries
from schemas.options import IndexOptions
from schemas.points import Point, ScoredPoint, SparseVector, TextSum
from schemas.records import SPARSE_NAME, WORDS_NAME
from schemas.search import MAX_OVERLAP
from workers.indexes.bm25 import share_of_words
from workers.indexes.lance.rows import PACKED, SPARSE_COLUMNS, VECTOR, from_rows
from workers.indexes.lance.storage import storage_options
from workers.indexes.location import LANCE_TABLE, lance_place
from workers.indexes.ranking import drop_overlapping

_POOL = 124  # four times what a text asks for: as many as a search ranks
_KNOWN_BY_WORDS = 5000
_ROWS_AT_ONCE = 8192
_WORDS, _SPARSE = (tuple(SPARSE_COLUMNS[name].stored) for name in (WORDS_NAME, SPARSE_NAME))
_COLUMNS = ("id", "kind", "bucket", "key", VECTOR, *_WORDS, *_SPARSE)


def equal_share(found: Sequence[Sequence[float]], exact: Sequence[Sequence[float]]) -> float:
    """Of rankings by score, the share that has the exact scores in the exact order.

    So which of several that score the same comes first does not matter.
    """
    same = [
        len(ours) == len(theirs) and bool(np.allclose(ours, theirs, rtol=1e-4, atol=1e-5))
        for ours, theirs in zip(found, exact, strict=True)
    ]
    return float(np.mean(same))


def recall(found: Sequence[Answer], exact: Sequence[Answer]) -> float:
    """The share of the exact answers that was found, on average over queries with any."""
    shares = [
        len({identity for identity, _ in ours} & {identity for identity, _ in theirs}) / len(theirs)
        for ours, theirs in zip(found, exact, strict=True)
        if theirs
    ]
    return float(np.mean(shares))


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The exact answers to queries, a list each.

    `nearest` by filter; `by_words` and `by_more_words` are the first `_KNOWN_BY_WORDS` with their
    scores; `by_text` the cosines of the hits in their order; `by_sparse` the dot products of the
    first hits.
    """

    nearest: Mapping[str, list[Answer]]
    by_words: list[Answer]
    by_more_words: list[Answer]
    by_text: list[list[float]]
    by_sparse: list[list[float]]


class NearestRows:
    """The best rows so far for each of some queries: `scores` and `rows` are (most, n)."""

    def __init__(self, most: int, queries: int) -> None:
        self.scores = np.full((most, queries), -np.inf, np.float32)
        self.rows = np.full((most, queries), -1, np.int64)

    def add(self, scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> None:
        """Look at rows (m,) with their scores (m, n)."""
        every = np.concatenate([self.scores, scores])
        numbers = np.concatenate([self.rows, np.repeat(rows[:, None], scores.shape[1], axis=1)])
        first = np.argsort(-every, axis=0, kind="stable")[: len(self.scores)]
        self.scores = np.take_along_axis(every, first, axis=0)
        self.rows = np.take_along_axis(numbers, first, axis=0)

    def of(self, query: int) -> list[tuple[int, float]]:
        """Row numbers and scores, best first."""
        pairs = zip(self.rows[:, query].tolist(), self.scores[:, query].tolist(), strict=True)
        return [(row, score) for row, score in pairs if row >= 0]


class _Terms:
    """Where the terms of queries stand in two list columns, and how much they count there.

    With `by_rarity` they count the more the fewer rows have them, as words do.
    """

    def __init__(
        self, columns: tuple[str, ...], queries: Sequence[SparseVector], *, by_rarity: bool
    ) -> None:
        self._columns, self._by_rarity = columns, by_rarity
        self._terms = np.unique(np.concatenate([query.indices for query in queries]))
        self._parts: list[tuple[npt.NDArray[np.int64], ...]] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        lists, values = (batch.column(name) for name in self._columns)
        terms = lists.flatten().to_numpy()
        wanted = np.isin(terms, self._terms)
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        owners = np.repeat(np.arange(len(lists)), lengths)
        weights = values.flatten().to_numpy()[wanted].astype(np.float64)
        self._parts.append((owners[wanted] + self._rows, terms[wanted], weights))
        self._rows += len(lists)

    def score(self, query: SparseVector) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Rows with any term, and the sum of products with weights."""
        rows, terms, weights = map(np.concatenate, zip(*self._parts, strict=True))
        found_rows, products = [], []
        for term, weight in zip(query.indices.tolist(), query.values.tolist(), strict=True):
            having = terms == term
            if self._by_rarity:
                count = int(having.sum())
                weight *= np.log1p((self._rows - count + 0.5) / (count + 0.5))
            found_rows.append(rows[having])
            products.append(np.float32(weight) * weights[having])
        unique, inverse = np.unique(np.concatenate(found_rows), return_inverse=True)
        return unique, np.bincount(inverse, np.concatenate(products), unique.size)


class _Pass:
    """What one pass over a table finds for queries."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries
        self.count = len(queries.texts)
        self.nearest = {name: NearestRows(FIRST, self.count) for name in FILTERS}
        self.pool = NearestRows(_POOL, self.count)
        self.short = [queries.words(number) for number in range(self.count)]
        self.longer = [queries.words(number, longer=True) for number in range(self.count)]
        self.words = _Terms(_WORDS, [*self.short, *self.longer], by_rarity=True)
        self.sparse = _Terms(_SPARSE, queries.sparse, by_rarity=False)
        self._ids: list[npt.NDArray[np.bytes_]] = []
        self._objects: list[npt.NDArray[np.bool_]] = []
        self._rows = 0

    def look(self, batch: pa.RecordBatch) -> None:
        flat = batch.column(VECTOR).flatten().to_numpy()
        scores = flat.reshape(batch.num_rows, -1) @ self.queries.vectors.T
        rows = np.arange(batch.num_rows) + self._rows
        masks = {
            name: np.array(meets, bool)
            for name, meets in (
                ("nearest", pc.true_unless_null(batch.column("id"))),
                ("nearest objects", pc.equal(batch.column("kind"), "object")),
                ("nearest, filter 10%", pc.equal(batch.column("bucket"), "photos-3")),
                ("nearest, filter 0.1%", pc.starts_with(batch.column("key"), "2026/123/")),
            )
        }
        for name, best in self.nearest.items():
            best.add(scores[masks[name]], rows[masks[name]])
        objects = masks["nearest objects"]
        self.pool.add(scores[objects], rows[objects])
        self.words.add(batch)
        self.sparse.add(batch)
        self._ids.append(batch.column("id").to_numpy(zero_copy_only=False).astype("S36"))
        self._objects.append(objects)
        self._rows += batch.num_rows

    def finish(self) -> None:
        self.ids, self.objects = np.concatenate(self._ids), np.concatenate(self._objects)

    def first_by_words(
        self, words: SparseVector, most: int, *, objects_alone: bool = False
    ) -> list[tuple[int, float]]:
        """Row numbers and scores, best first, ties by id."""
        rows, scores = self.words.score(words)
        if objects_alone:
            chosen = self.objects[rows]
            rows, scores = rows[chosen], scores[chosen]
        order = np.lexsort((self.ids[rows], -scores.round(6)))[:most]
        return list(zip(rows[order].tolist(), scores[order].tolist(), strict=True))

    def first_by_sparse(self, query: SparseVector) -> list[float]:
        """The first scores."""
        _, scores = self.sparse.score(query)
        return np.sort(scores)[: -FIRST - 1 : -1].tolist()

    def named(self, found: Sequence[tuple[int, float]]) -> Answer:
        return [(self.ids[row].decode(), score) for row, score in found]


def find_truth(options: IndexOptions, queries: Queries) -> Truth:
    """Read the whole table once."""
    dataset = lance.dataset(
        f"{lance_place(options.location)}/{LANCE_TABLE}", storage_options=storage_options(options)
    )
    seen = _Pass(queries)
    for batch in dataset.to_batches(columns=[*_COLUMNS], batch_size=_ROWS_AT_ONCE):
        seen.look(batch)
    seen.finish()
    numbers = range(seen.count)
    return Truth(
        {
            name: [seen.named(best.of(number)) for number in numbers]
            for name, best in seen.nearest.items()
        },
        [seen.named(seen.first_by_words(words, _KNOWN_BY_WORDS)) for words in seen.short],
        [seen.named(seen.first_by_words(words, _KNOWN_BY_WORDS)) for words in seen.longer],
        _rank_for_texts(dataset, seen),
        [seen.first_by_sparse(query) for query in queries.sparse],
    )


def _rank_for_texts(dataset: lance.LanceDataset, seen: _Pass) -> list[list[float]]:
    """The cosines of the hits of each text, in the order of its sum."""
    numbers = range(seen.count)
    candidates = [
        {row for row, _ in seen.pool.of(number)}
        | {row for row, _ in seen.first_by_words(seen.short[number], _POOL, objects_alone=True)}
        for number in numbers
    ]
    rows = sorted(set().union(*candidates))
    points = dict(zip(rows, from_rows(dataset.take(rows, columns=[PACKED])), strict=True))
    return [
        _rank(
            [points[row] for row in candidates[number]],
            seen.queries.vectors[number],
            seen.queries.sum_of(number),
        )
        for number in numbers
    ]


def _rank(
    points: Sequence[Point], vector: npt.NDArray[np.float32], weights: TextSum
) -> list[float]:
    sums, scored = {}, []
    for point in points:
        assert point.vector is not None
        assert point.words is not None
        cosine = float(point.vector @ vector)
        shares = share_of_words(weights.text, point.words, str(point.payload["uri"]))
        iou, logsumexp = (point.payload[name] for name in ("predicted_iou", "label_logsumexp"))
        sums[point.id] = weights.add_up(cosine, iou, logsumexp, shares)
        scored.append(ScoredPoint(point.id, point.payload, score=cosine))
    ranked = sorted(scored, key=lambda point: (-sums[point.id], point.id))
    apart = drop_overlapping(ranked, MAX_OVERLAP, lambda *_: None, CANDIDATES)
    return [point.score for point in apart[:FIRST]]
