"""Asks an index the questions whose cost is measured, each of many queries of one seed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bench.object_storage.filling import EMBEDDER
from bench.sparse_texts import TERMS_OF_A_QUERY, SparseTexts
from bench.synthetic import OBJECTS_AN_IMAGE, REVISION, Cone, image_ref
from schemas.ids import IMAGE_ORDINAL, image_id, object_id
from schemas.labels import parse_labels
from schemas.points import IndexQuery, SparseVector, TextSum
from schemas.records import WORDS_NAME, Float32Matrix
from schemas.search import MAX_OVERLAP, Condition, SearchHit
from workers.indexes.bm25 import query_words
from workers.indexes.filters import EVERY_POINT
from workers.indexes.point_index import PointIndex
from workers.labelling.calibration import calibration_of
from workers.models.catalog import bundled_file

FIRST = 10
CANDIDATES = 31
"""Hits that a search by text asks an index for, to show ten."""
OBJECTS = Condition(field="kind", op="=", value="object")
FILTERS: Mapping[str, tuple[Condition, ...]] = {
    "nearest": (),
    "nearest objects": (OBJECTS,),
    "nearest, filter 10%": (Condition(field="bucket", op="=", value="photos-3"),),
    "nearest, filter 0.1%": (Condition(field="key", op="^=", value="2026/123/"),),
}
SPARSE = "sparse"
"""The question of points that have a sparse vector of the user's own; others have none of it."""
_IDS_A_QUERY = 10
Answer = list[tuple[str, float]]
"""Ids with their scores, of what a question finds; ids alone score 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """As many queries as wanted: `vectors` float32 (n, dim), a text of each, ids of points.

    `sparse` vectors as of SPLADE, for points that have some.
    """

    vectors: Float32Matrix
    texts: tuple[str, ...]
    long_texts: tuple[str, ...]
    ids: tuple[tuple[uuid.UUID, ...], ...]
    sparse: tuple[SparseVector, ...]

    @classmethod
    def draw(cls, count: int, seed: int, objects: int) -> Queries:
        """Those of a seed, for an index of so many objects of `bench.synthetic`."""
        rng = np.random.default_rng([seed, 2])
        entries = parse_labels(bundled_file("labels_general.txt").read_text().splitlines())
        single = np.array([entry.name for entry in entries if entry.name.isalpha()])
        drawn = rng.permutation(single)
        pairs = [" ".join(drawn[2 * n : 2 * n + 2]) for n in range(count)]
        longer = [" ".join(rng.choice(single, 12, replace=False)) for _ in range(count)]
        return cls(
            Cone().rows(count, 10**9 + seed)[0],
            tuple(pairs),
            tuple(longer),
            tuple(_draw_ids(rng, objects) for _ in range(count)),
            tuple(SparseTexts().draw(10**9 + seed, count, TERMS_OF_A_QUERY)),
        )

    def words(self, number: int, *, longer: bool = False) -> SparseVector:
        words = query_words([(self.long_texts if longer else self.texts)[number]])
        assert words is not None
        return words

    def sum_of(self, number: int) -> TextSum:
        """The sum by which the text is ranked in an index that has labels and words."""
        calibration = calibration_of(EMBEDDER)
        return calibration.text_sum(self.texts[number], label_words=True, uri_words=True)


def _draw_ids(rng: np.random.Generator, objects: int) -> tuple[uuid.UUID, ...]:
    """Ids of the points of whole images, which are known without the index."""
    numbers = rng.integers(0, objects // OBJECTS_AN_IMAGE, _IDS_A_QUERY).tolist()
    ids = (object_id(image_id(image_ref(number)), REVISION, IMAGE_ORDINAL) for number in numbers)
    return tuple(ids)


Ask = Callable[[PointIndex, Queries, int], Answer]


def _of_hits(hits: list[SearchHit]) -> Answer:
    return [(hit.object_id, hit.score) for hit in hits]


def _nearest(conditions: tuple[Condition, ...]) -> Ask:
    def ask(index: PointIndex, queries: Queries, number: int) -> Answer:
        query = IndexQuery(queries.vectors[number], FIRST, conditions)
        return _of_hits(index.search(query))

    return ask


def _by_text(index: PointIndex, queries: Queries, number: int) -> Answer:
    query = IndexQuery(
        queries.vectors[number],
        CANDIDATES,
        (OBJECTS,),
        max_overlap=MAX_OVERLAP,
        words=queries.words(number),
        text_sum=queries.sum_of(number),
    )
    return _of_hits(index.search(query))


def _by_words(*, longer: bool) -> Ask:
    def ask(index: PointIndex, queries: Queries, number: int) -> Answer:
        words = queries.words(number, longer=longer)
        found = index.find_by_sparse(WORDS_NAME, words, EVERY_POINT, FIRST)
        return [(str(identity), score) for identity, score in found]

    return ask


def _by_sparse(index: PointIndex, queries: Queries, number: int) -> Answer:
    return _of_hits(index.search(IndexQuery(None, FIRST, sparse=queries.sparse[number])))


def _by_id(index: PointIndex, queries: Queries, number: int) -> Answer:
    found = index.stored(queries.ids[number])
    if len(found) != len(set(queries.ids[number])):
        raise SystemExit(f"expected all points asked for by id, got {len(found)}")
    return [(str(identity), 0.0) for identity in found]


def _by_prefix(index: PointIndex, queries: Queries, number: int) -> Answer:
    folders = Condition(field="key", op="^=", value=f"2026/{number % 100:02}")
    return [("", float(index.count([folders])))]


def _labels_counted(index: PointIndex, queries: Queries, number: int) -> Answer:
    bucket = Condition(field="bucket", op="=", value=f"photos-{number % 10}")
    return [(each.value, each.count) for each in index.facet("labels", [bucket])]


QUESTIONS: Mapping[str, Ask] = {
    **{name: _nearest(conditions) for name, conditions in FILTERS.items()},
    "2 words": _by_words(longer=False),
    "12 words": _by_words(longer=True),
    "text (both)": _by_text,
    SPARSE: _by_sparse,
    "labels, counted": _labels_counted,
    "10 points by id": _by_id,
    "count of a prefix": _by_prefix,
}
