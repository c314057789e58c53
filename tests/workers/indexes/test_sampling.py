"""A few points of an index are chosen at random, without reading the others."""

from __future__ import annotations

import pytest
from support.index_cases import embedded, unit

from schemas.search import Condition
from schemas.thumbnails import THUMBNAIL
from workers.indexes.point_index import PointIndex

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

IS_OBJECT = Condition(field="kind", op="=", value="object")


def fill(index: PointIndex) -> None:
    """Eight images of two objects each, two of the images in a bucket of their own."""
    index.replace_images(
        [
            embedded(f"{number}.jpg", unit(number, 3), bucket="b" if number < 2 else "a")
            for number in range(8)
        ]
    )


def test_a_sample_is_of_what_meets_the_conditions(index: PointIndex) -> None:
    fill(index)
    points = index.sample(5, [IS_OBJECT])
    assert len({point.id for point in points}) == len(points) == 5
    by_id = {point.id: point for point in index.scan([IS_OBJECT])}
    for point in points:
        assert point.payload["kind"] == "object"
        assert THUMBNAIL not in point.payload
        assert point.vector is not None
        stored = by_id[point.id].vector
        assert stored is not None
        assert point.vector.tolist() == pytest.approx(stored.tolist(), abs=1e-6)


def test_all_there_is_comes_where_more_is_asked_for(index: PointIndex) -> None:
    fill(index)
    assert len({point.id for point in index.sample(1000)}) == 24
    in_b = index.sample(1000, [IS_OBJECT, Condition(field="bucket", op="=", value="b")])
    assert {point.payload["bucket"] for point in in_b} == {"b"}
    assert len(in_b) == 4


def test_samples_differ(index: PointIndex) -> None:
    fill(index)
    seen = {point.id for _ in range(20) for point in index.sample(3, [IS_OBJECT])}
    assert len(seen) > 3


def test_of_an_empty_index_there_is_no_sample(index: PointIndex) -> None:
    assert index.sample(10) == []
