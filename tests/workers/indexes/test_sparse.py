"""Sparse vectors of the user's own, in every index, against dot products that numpy makes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.index_cases import DIM, Vectors, embedded, unit, where

from schemas.fusion import FusionWeights
from schemas.labels import Label, LabelEntry, Naming
from schemas.points import IndexQuery, Point, PointLabels, SparseVector
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from schemas.search import SearchHit
from workers.indexes.bm25 import query_words, words_of
from workers.indexes.filters import EVERY_POINT
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

_TERMS = 40
_LARGEST = 2**32 - 1


def sparse(terms: Mapping[int, float]) -> SparseVector:
    return SparseVector(np.array([*terms], np.uint32), np.array([*terms.values()], np.float32))


def terms_of(vector: SparseVector | None) -> dict[int, float]:
    assert vector is not None
    return dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))


def drawn(rng: np.random.Generator, least: float) -> dict[int, float]:
    chosen = rng.choice(_TERMS, size=rng.integers(1, 8), replace=False)
    weights = rng.uniform(least, 3.0, len(chosen)).astype(np.float32)
    return dict(zip(chosen.tolist(), weights.tolist(), strict=True))


def fill(
    index: PointIndex, images: int, objects: int, seed: int = 0, least: float = 0.1
) -> dict[str, Point]:
    """Put images into an index, most points of which have sparse vectors; the points by id."""
    rng = np.random.default_rng(seed)
    for number in range(images):
        vectors = unit(100 * seed + number, objects + 1)
        index.replace_images([embedded(f"{number}.jpg", vectors)])
    points = sorted(index.scan(words=True), key=lambda point: point.id)
    written = [
        replace(point, sparse=sparse(drawn(rng, least))) if number % 5 else point
        for number, point in enumerate(points)
    ]
    index.restore(written)
    return {point.id: point for point in written}


def dots(points: Mapping[str, Point], query: Mapping[int, float]) -> list[tuple[str, float]]:
    """Ids and dot products of all points with a term in common, best first, ties by id."""
    scores = {}
    for identity, point in points.items():
        own = {} if point.sparse is None else terms_of(point.sparse)
        common = [np.float64(own[term]) * weight for term, weight in query.items() if term in own]
        if common:
            scores[identity] = float(np.sum(common))
    return sorted(scores.items(), key=lambda item: (-round(item[1], 5), item[0]))


def ids(hits: Sequence[SearchHit]) -> list[str]:
    return [hit.object_id for hit in hits]


def by_sparse(query: Mapping[int, float], limit: int = 10, **more: Any) -> IndexQuery:
    return IndexQuery(None, limit, sparse=sparse(query), **more)


def fused(lists: Sequence[Sequence[str]], weights: Sequence[float]) -> list[str]:
    sums: dict[str, float] = {}
    for ranked, weight in zip(lists, weights, strict=True):
        for rank, identity in enumerate(ranked, 1):
            sums[identity] = sums.get(identity, 0.0) + weight / (60 + rank)
    return sorted(sums, key=lambda identity: (-sums[identity], identity))


def nearest(points: Mapping[str, Point], vector: Vectors) -> list[str]:
    def cosine(identity: str) -> float:
        stored = points[identity].vector
        assert stored is not None
        return float(stored @ vector)

    return sorted(points, key=lambda identity: (-cosine(identity), identity))


def test_sparse_vectors_come_back_as_they_were_written(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 3))])
    first, second, third = sorted(index.scan(words=True), key=lambda point: point.id)
    own = sparse({_LARGEST: 0.5, 0: -2.25, 7: 1e-20})
    index.restore([replace(first, sparse=own), replace(second, sparse=sparse({3: 1.0}))])
    assert index.has_sparse()
    assert index.info().has_sparse
    found = {point.id: point for point in index.scan(words=True, sparse=True)}
    assert terms_of(found[first.id].sparse) == terms_of(own)
    assert found[third.id].sparse is None
    for point in (first, second, third):
        assert terms_of(found[point.id].words) == terms_of(point.words)
        np.testing.assert_allclose(found[point.id].vector, point.vector, atol=1e-6)
    assert all(point.sparse is None for point in index.scan(words=True))
    wanted = [uuid.UUID(first.id), uuid.UUID(third.id), uuid.uuid4()]
    read = {point.id: point for point in index.retrieve_vectors(wanted, [SPARSE_NAME])}
    assert read.keys() == {first.id, third.id}
    assert terms_of(read[first.id].sparse) == terms_of(own)
    assert (read[first.id].vector, read[first.id].words) == (None, None)
    (both,) = index.retrieve_vectors([uuid.UUID(second.id)], [VECTOR_NAME, WORDS_NAME, SPARSE_NAME])
    assert terms_of(both.sparse) == {3: 1.0}
    assert both.vector is not None
    assert both.words is not None


def test_a_point_that_is_written_again_has_the_new_sparse_vector_or_none(
    index: PointIndex,
) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 3))])
    points = sorted(index.scan(words=True), key=lambda point: point.id)
    index.restore([replace(point, sparse=sparse({1: 1.0, 2: 2.0})) for point in points])
    index.restore([replace(points[0], sparse=sparse({9: 3.0})), points[1]])
    found = {point.id: point.sparse for point in index.scan(sparse=True)}
    assert terms_of(found[points[0].id]) == {9: 3.0}
    assert found[points[1].id] is None
    assert terms_of(found[points[2].id]) == {1: 1.0, 2: 2.0}
    assert ids(index.search(by_sparse({1: 1.0, 9: 1.0}))) == [points[0].id, points[2].id]
    naming = Naming((Label(LabelEntry("mug"), 0.9),), 1.0)
    words = words_of(naming.labels, "s3://photos/a.jpg")
    index.relabel([PointLabels(points[2].id, naming, words)], "list two")
    (relabelled,) = index.retrieve_vectors([uuid.UUID(points[2].id)], [SPARSE_NAME])
    assert terms_of(relabelled.sparse) == {1: 1.0, 2: 2.0}
    index.delete_points([points[2].id])
    assert ids(index.search(by_sparse({1: 1.0, 9: 1.0}))) == [points[0].id]


@pytest.mark.parametrize("least", [0.1, -3.0], ids=["positive", "of both signs"])
def test_hits_by_a_sparse_vector_rank_by_the_dot_product(index: PointIndex, least: float) -> None:
    points = fill(index, images=6, objects=7, least=least)
    rng = np.random.default_rng(7)
    for _ in range(5):
        query = drawn(rng, least)
        wanted = dots(points, query)
        hits = index.search(by_sparse(query, limit=len(points)))
        assert ids(hits) == [identity for identity, _ in wanted]
        scores = [score for _, score in wanted]
        assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-5)
        assert ids(index.search(by_sparse(query, limit=3))) == ids(hits)[:3]
        middle = scores[len(scores) // 2] - 1e-3
        above = [identity for identity, score in wanted if score > middle]
        assert ids(index.search(by_sparse(query, 99, min_score=middle))) == above
    assert index.search(by_sparse({_TERMS + 1: 1.0})) == []


def test_a_common_term_counts_as_much_as_a_rare_one(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 5))])
    points = sorted(index.scan(words=True), key=lambda point: point.id)
    common = [replace(point, sparse=sparse({1: 1.0})) for point in points[:4]]
    index.restore([*common, replace(points[4], sparse=sparse({2: 1.0}))])
    hits = index.search(by_sparse({1: 1.0, 2: 1.0}))
    assert ids(hits) == [point.id for point in points]
    assert {hit.score for hit in hits} == {1.0}


def test_ties_of_dot_products_go_by_id_whatever_the_limit(index: PointIndex) -> None:
    index.replace_images([embedded(f"{n}.jpg", unit(n, 10)) for n in range(3)])
    points = sorted(index.scan(words=True), key=lambda point: point.id)
    index.restore([replace(point, sparse=sparse({5: 2.0})) for point in points])
    for limit in (1, 7, 29):
        found = ids(index.search(by_sparse({5: 0.5}, limit)))
        assert found == [point.id for point in points[:limit]]
    vector = sparse({5: 0.5})
    found_all = index.find_by_sparse(SPARSE_NAME, vector, EVERY_POINT, 40)
    assert found_all == [(uuid.UUID(point.id), 1.0) for point in points]


def test_filters_exclusion_groups_and_overlaps_go_with_sparse_vectors(index: PointIndex) -> None:
    points = fill(index, images=5, objects=4)
    query = drawn(np.random.default_rng(3), 0.1) | {1: 1.0, 2: 1.0, 3: 1.0}
    ranked = [identity for identity, _ in dots(points, query)]
    kinds = {identity: points[identity].payload["kind"] for identity in points}
    objects = [identity for identity in ranked if kinds[identity] == "object"]
    where_object = (where("kind", "=", "object"),)
    assert ids(index.search(by_sparse(query, 99, conditions=where_object))) == objects
    without = frozenset(objects[:2])
    left = index.search(by_sparse(query, 99, conditions=where_object, without=without))
    assert ids(left) == objects[2:]
    prefix = (*where_object, where("uri", "^=", "s3://photos/3"))
    of_image = [each for each in objects if points[each].payload["key"] == "3.jpg"]
    assert ids(index.search(by_sparse(query, 99, conditions=prefix))) == of_image
    images = [points[each].payload["image_id"] for each in objects]
    groups = list(dict.fromkeys(images))
    for size in (1, 2):
        wanted = [
            each
            for group in groups[:3]
            for each in [o for o, image in zip(objects, images, strict=True) if image == group][
                :size
            ]
        ]
        found = index.search(by_sparse(query, 3, conditions=where_object, group_size=size))
        assert ids(found) == wanted
    # Each mask of an image lies within the next larger one.
    apart = [objects[images.index(group)] for group in groups]
    overlapping = by_sparse(query, 99, conditions=where_object, max_overlap=0.5)
    assert ids(index.search(overlapping)) == apart


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.2, 1.0), (5.0, 1.0)])
def test_nearness_and_sparse_vectors_are_fused_by_their_weights(
    index: PointIndex, weights: tuple[float, float]
) -> None:
    points = fill(index, images=5, objects=6)
    rng = np.random.default_rng(11)
    for seed in range(3):
        vector, query = unit(900 + seed, 1)[0], drawn(rng, 0.1)
        lists = [nearest(points, vector), [identity for identity, _ in dots(points, query)]]
        fusion = FusionWeights(vector=weights[0], sparse=weights[1])
        asked = IndexQuery(vector, 12, sparse=sparse(query), fusion=fusion)
        hits = index.search(asked)
        assert ids(hits) == fused(lists, weights)[:12]
        cosines = [float(points[each].vector @ vector) for each in ids(hits)]  # type: ignore[operator]
        assert [hit.score for hit in hits] == pytest.approx(cosines, abs=1e-6)
        least = sorted(cosines)[6] - 1e-4
        above = index.search(replace(asked, min_score=least, limit=6))
        assert ids(above) == [h.object_id for h in hits if h.score >= least][:6]


def test_words_and_sparse_vectors_are_fused_with_a_vector_or_without(index: PointIndex) -> None:
    axes = np.eye(6, DIM, dtype=np.float32)
    image = embedded("a.jpg", axes[:5])
    entries = [LabelEntry("mug"), LabelEntry("dog"), LabelEntry("mug"), LabelEntry("cat")]
    naming = [Naming((Label(entry, 0.75),), 12.5) for entry in entries]
    named = [replace(o, naming=n) for o, n in zip(image.objects, naming, strict=True)]
    index.replace_images([replace(image, objects=tuple(named), labelled_by="list one")])
    objects = [str(each.object_id) for each in named]
    points = {point.id: point for point in index.scan(words=True)}
    weights = {1: 2.0, 2: 1.0, 3: 3.0}
    own = {objects[number]: sparse({8: weight}) for number, weight in weights.items()}
    index.restore([replace(points[each], sparse=own[each]) for each in own])
    conditions = (where("kind", "=", "object"),)
    asked = by_sparse({8: 1.0}, conditions=conditions, words=query_words(["mug"]))
    mugs = sorted([objects[0], objects[2]])
    by_dot = [objects[3], objects[1], objects[2]]
    hits = index.search(asked)
    assert ids(hits) == fused([mugs, by_dot], [1, 1])
    assert {hit.object_id: hit.score for hit in hits} == {
        objects[0]: 0.0,
        objects[1]: 2.0,
        objects[2]: 1.0,
        objects[3]: 3.0,
    }
    heavy = replace(asked, fusion=FusionWeights(words=3.0, sparse=1.0))
    assert ids(index.search(heavy)) == fused([mugs, by_dot], [3, 1])
    assert ids(index.search(replace(asked, min_score=1.5))) == [objects[3], objects[1]]
    vector = (axes[4] + 0.5 * axes[2]) / np.float32(np.sqrt(1.25))
    near = nearest({each: points[each] for each in objects}, vector)
    fused_all = fused([near, mugs, by_dot], [1, 1, 1])
    assert ids(index.search(replace(asked, vector=vector))) == fused_all


def test_a_variety_of_what_sparse_vectors_find(index: PointIndex) -> None:
    close = unit(5, 1)[0] + 0.01 * unit(6, 4)
    rows = np.concatenate([unit(4, 1), close, unit(8, 1)]).astype(np.float32)
    image = embedded("a.jpg", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    index.replace_images([image])
    points = {point.id: point for point in index.scan(words=True)}
    objects = [str(each.object_id) for each in image.objects]
    index.restore(
        [
            replace(points[each], sparse=sparse({1: 10.0 - number}))
            for number, each in enumerate(objects)
        ]
    )
    conditions = (where("kind", "=", "object"),)
    asked = by_sparse({1: 0.1}, 2, conditions=conditions)
    assert ids(index.search(asked)) == objects[:2]
    # The last is unlike the others, which are all alike.
    varied = index.search(replace(asked, diversity=0.5))
    assert ids(varied) == [objects[0], objects[4]]
    assert [hit.score for hit in varied] == pytest.approx([1.0, 0.6])
    with_vector = replace(asked, vector=rows[1], diversity=0.9)
    assert set(ids(index.search(with_vector))) == {objects[0], objects[4]}
    assert ids(index.search(replace(asked, diversity=0.5, limit=9)))[0] == objects[0]


def test_a_query_that_is_none_is_refused() -> None:
    vector = unit(0, 1)[0]
    with pytest.raises(ValueError, match="expected a vector or a sparse vector, got neither"):
        IndexQuery(None, 5)
    for wrong, why in [
        (sparse({}), "a term at least, got none"),
        (sparse({1: 0.0}), "finite and not zero"),
        (sparse({1: np.inf}), "finite and not zero"),
        (SparseVector(np.array([1, 1], np.uint32), np.ones(2, np.float32)), "each index once"),
        (SparseVector(np.array([1], np.uint32), np.ones(2, np.float32)), "as many values as"),
    ]:
        with pytest.raises(ValueError, match=why):
            IndexQuery(vector, 5, sparse=wrong)
    with pytest.raises(ValueError, match="beside examples that are liked"):
        by_sparse({1: 1.0}, liked=vector[None])
    with pytest.raises(ValueError, match="a query with a vector, got one without"):
        by_sparse({1: 1.0}).require_vector()
