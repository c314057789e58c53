"""Named vectors of the user's own, in every index, against cosines that numpy makes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.index_cases import KINDS, Vectors, embedded, one_index, unit, where

from schemas.errors import InvalidVectorError, UsageError
from schemas.labels import Label, LabelEntry, Naming
from schemas.points import IndexQuery, Point, PointLabels, SparseVector
from schemas.search import SearchHit
from workers.indexes.bm25 import words_of
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

DIMS = {"title": 5, "poster": 12}


@pytest.fixture(scope="module", params=KINDS)
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PointIndex]:
    with one_index(request.param, tmp_path_factory.mktemp("named"), DIMS) as made:
        yield made


@pytest.fixture
def index(kept: PointIndex) -> Iterator[PointIndex]:
    """An empty index with places for DIMS."""
    yield kept
    for image in {point.payload["image_id"] for point in kept.scroll()}:
        kept.delete_images([uuid.UUID(image)])


def fill(index: PointIndex, images: int = 6, objects: int = 4) -> dict[str, Point]:
    """Put images in, most points of which have a title, and some a poster; the points by id."""
    for number in range(images):
        index.replace_images([embedded(f"{number}.jpg", unit(number, objects + 1))])
    points = sorted(index.scan(words=True), key=lambda point: point.id)
    titles, posters = (unit(99, len(points), dim) for dim in DIMS.values())
    written = []
    for number, point in enumerate(points):
        named = {"title": titles[number]} if number % 4 else {}
        named |= {"poster": posters[number]} if number % 3 == 0 else {}
        written.append(replace(point, named_vectors=named))
    index.restore(written)
    return {point.id: point for point in written}


def nearest(points: Mapping[str, Point], name: str, vector: Vectors) -> list[tuple[str, float]]:
    scores = {
        identity: float(point.named_vectors[name] @ vector)
        for identity, point in points.items()
        if name in point.named_vectors
    }
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def ids(hits: Sequence[SearchHit]) -> list[str]:
    return [hit.object_id for hit in hits]


def asked(name: str, vector: Vectors, limit: int = 99, **more: Any) -> IndexQuery:
    return IndexQuery(vector, limit, using=name, **more)


def test_they_come_back_as_they_were_written(index: PointIndex) -> None:
    points = fill(index)
    assert index.named_dims() == DIMS
    assert index.info().named_dims == DIMS
    found = {point.id: point for point in index.scan(named=True)}
    read = index.vectors([*map(uuid.UUID, points)], dense=False, words=False, named=True)
    for identity, point in points.items():
        for there in (found[identity], read[uuid.UUID(identity)]):
            assert there.named_vectors.keys() == point.named_vectors.keys()
            for name, vector in point.named_vectors.items():
                np.testing.assert_allclose(there.named_vectors[name], vector, atol=1e-6)
    assert all(not point.named_vectors for point in index.scan(words=True))
    assert all(point.vector is None for point in read.values())


@pytest.mark.parametrize("name", DIMS)
def test_hits_rank_by_the_vectors_of_that_name(index: PointIndex, name: str) -> None:
    points = fill(index)
    for seed in range(3):
        vector = unit(500 + seed, 1, DIMS[name])[0]
        wanted = nearest(points, name, vector)
        hits = index.search(asked(name, 7 * vector))
        assert ids(hits) == [identity for identity, _ in wanted]
        assert [hit.score for hit in hits] == pytest.approx([s for _, s in wanted], abs=1e-5)
        assert ids(index.search(asked(name, vector, 3, exact=True))) == ids(hits)[:3]
        half = len(hits) // 2
        middle = (hits[half - 1].score + hits[half].score) / 2
        assert ids(index.search(asked(name, vector, min_score=middle))) == ids(hits)[:half]


def test_filters_exclusion_and_groups_go_with_them(index: PointIndex) -> None:
    points = fill(index)
    vector = unit(700, 1, DIMS["title"])[0]
    all_ids = [identity for identity, _ in nearest(points, "title", vector)]
    objects = [each for each in all_ids if points[each].payload["kind"] == "object"]
    of_objects = (where("kind", "=", "object"),)
    assert ids(index.search(asked("title", vector, conditions=of_objects))) == objects
    left = index.search(
        asked("title", vector, conditions=of_objects, without=frozenset(objects[:2]))
    )
    assert ids(left) == objects[2:]
    of_image = [each for each in objects if points[each].payload["key"] == "2.jpg"]
    in_image = (*of_objects, where("key", "^=", "2."))
    assert ids(index.search(asked("title", vector, conditions=in_image))) == of_image
    first_of_images: dict[object, str] = {}
    for each in objects:
        first_of_images.setdefault(points[each].payload["image_id"], each)
    grouped = index.search(asked("title", vector, conditions=of_objects, group_size=1))
    assert ids(grouped) == [*first_of_images.values()]


def test_a_point_that_is_written_again_has_the_new_ones_or_none(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(1, 3))])
    first, second, third = sorted(index.scan(words=True), key=lambda point: point.id)
    title, other = unit(2, 2, DIMS["title"])
    poster = unit(3, 1, DIMS["poster"])[0]
    index.restore([replace(each, named_vectors={"title": title}) for each in (first, second)])
    index.restore([replace(first, named_vectors={"title": other, "poster": poster}), second])
    found = {point.id: point.named_vectors for point in index.scan(named=True)}
    assert {identity: set(named) for identity, named in found.items()} == {
        first.id: {"title", "poster"}, second.id: set(), third.id: set(),
    }  # fmt: skip
    np.testing.assert_allclose(found[first.id]["title"], other, atol=1e-6)
    naming = Naming((Label(LabelEntry("mug"), 0.9),), 1.5)
    words = words_of(naming.labels, str(first.payload["uri"]))
    index.relabel([PointLabels(first.id, naming, words)], "l1")
    assert ids(index.search(asked("poster", poster))) == [first.id]
    (relabelled,) = (point for point in index.scan(named=True) if point.id == first.id)
    np.testing.assert_allclose(relabelled.named_vectors["poster"], poster, atol=1e-6)
    # Written with its image, beside a sparse vector.
    sparse = SparseVector(np.array([3], np.uint32), np.array([1.5], np.float32))
    point = replace(first, sparse=sparse, named_vectors={"title": title})
    image = uuid.UUID(str(first.payload["image_id"]))
    started = first.parse_payload().run_started_at
    assert started is not None
    index.replace_points({image: [point]}, started)
    (alone,) = index.scan(named=True, sparse=True)
    assert (alone.id, set(alone.named_vectors)) == (first.id, {"title"})
    assert alone.sparse is not None
    assert alone.sparse.values.tolist() == [1.5]


def test_what_has_no_place_or_does_not_fit_is_refused(index: PointIndex) -> None:
    points = fill(index, 1, 2)
    point = next(iter(points.values()))
    image = uuid.UUID(str(point.payload["image_id"]))
    places = r"\(poster of 12 numbers, title of 5 numbers\)"
    for named in ({"smell": unit(1, 1, 5)[0]}, {"title": unit(1, 1, 6)[0]}):
        wrong = replace(point, named_vectors=named)
        with pytest.raises(UsageError, match=rf"a place for {places}, point {point.id} has"):
            index.restore([wrong])
        with pytest.raises(UsageError, match=rf"a place for {places}, point {point.id} has"):
            index.replace_points({image: [wrong]}, point.parse_payload().ingested_at)
    assert len({each.id for each in index.scroll()}) == len(points)
    with pytest.raises(UsageError, match=rf"{places}, got 'smell'"):
        index.search(asked("smell", unit(1, 1, 5)[0]))
    with pytest.raises(InvalidVectorError, match="a query vector of 12 numbers, got shape"):
        index.search(asked("poster", unit(1, 1, 5)[0]))


def test_nothing_else_is_searched_with() -> None:
    vector = unit(1, 1)[0]
    sparse = SparseVector(np.array([3], np.uint32), np.array([1.5], np.float32))
    others: tuple[dict[str, Any], ...] = (
        {"words": sparse}, {"sparse": sparse}, {"diversity": 0.5}, {"liked": vector[None]},
    )  # fmt: skip
    for more in others:
        with pytest.raises(ValueError, match="a vector alone to search by 'title', got more"):
            asked("title", vector, **more)
