"""Odd payloads: what is broken of a point is left out, and neither hangs a search nor ends it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.index_cases import KINDS, embedded, ids_of, one_index, unit

from pipeline.search.same_object import gather_object
from schemas.errors import VectorIndexError
from schemas.masks import CocoRle
from schemas.payload import read_mask
from schemas.points import IndexQuery, Point
from workers.indexes.broken_points import BrokenPoints
from workers.indexes.lance.index import LanceIndex
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.trials,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
HW = (20, 30)
WHOLE = CocoRle.from_mask(np.ones(HW, bool)).counts
IMAGE = embedded("a.jpg", unit(0, 5))
FIRST = str(IMAGE.objects[0].object_id)
OTHERS = {str(record.object_id) for record in IMAGE.objects[1:]}


def rle(counts: object = WHOLE, size: object = HW) -> dict[str, Any]:
    return {"rle": {"size": size, "counts": counts}}


MASKS: dict[str, dict[str, Any]] = {
    "cut": rle(IMAGE.objects[0].mask.rle.counts[:-2]),
    "longer": rle(IMAGE.objects[0].mask.rle.counts + "1"),
    "empty": rle(""),
    "one run for all but a pixel": rle(CocoRle.from_runs((1, 599), [599]).counts),
    "no characters of an RLE": rle("~~~"),
    "beyond ASCII": rle("ü"),
    "within a number": rle("PPPP"),
    "a number of a hundred characters": rle("P" * 99 + "0"),
    "negative": rle("N2o1"),
    "of the other sides": rle(size=[30, 20]),
    "of another size": rle(CocoRle.from_mask(np.ones((2, 2), bool)).counts, [2, 2]),
    "of no size": rle("0", [0, 0]),
    "of a negative size": rle(size=[-20, -30]),
    "of an enormous size": rle(size=[2**40, 2**40]),
    "of an image without width": {"width": 0},
    "of an image of another height": {"height": 21},
}
"""Changes of a payload that leave a point of objseek's with a broken mask."""
PAYLOADS: dict[str, dict[str, Any]] = {
    "a text for a mask": {"rle": "x"},
    "a list for a mask": {"rle": [1, 2]},
    "a mask without counts": {"rle": {"size": HW}},
    "a mask without a size": {"rle": {"counts": WHOLE}},
    "counts that are a list": rle([600]),
    "counts that are a number": rle(600),
    "counts of none": rle(None),
    "a size of one number": rle(size=[600]),
    "a size of three": rle(size=[20, 30, 1]),
    "a size of texts": rle(size=["x", "y"]),
    "a size of fractions": rle(size=[20.5, 30]),
    "a size of none": rle(size=None),
    "no box": {"bbox": None},
    "a box of three numbers": {"bbox": [1, 2, 3]},
    "a box that is a text": {"bbox": "0,0,1,1"},
    "no uri": {"uri": None},
    "no image": {"image_id": None},
    "an image that is a list": {"image_id": ["a", "b"]},
    "a width that is a text": {"width": "wide"},
    "another kind of store": {"store": "ftp"},
    "no times": {"ingested_at": "yesterday"},
    "a field of another program": {"colour": "red"},
}
"""Changes that leave one that is none of objseek's."""


@pytest.fixture(scope="module", params=KINDS)
def index(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PointIndex]:
    with one_index(request.param, tmp_path_factory.mktemp("broken")) as made:
        yield made


@pytest.fixture(autouse=True)
def _one_image(index: PointIndex) -> None:
    index.delete_points([point.id for point in index.scroll()])
    index.replace_images([IMAGE])
    index._broken = BrokenPoints()


def alter(index: PointIndex, changes: dict[str, Any]) -> None:
    point = index.stored([uuid.UUID(FIRST)])[uuid.UUID(FIRST)]
    payload = {**point.payload, **changes}
    kept = {name: value for name, value in payload.items() if value is not None}
    index.restore([Point(FIRST, kept, point.vector, point.words)])


def search(index: PointIndex, **options: Any) -> set[str]:
    query = IndexQuery(unit(0, 5)[1], 9, **options)
    return {hit.object_id for hit in index.search(query)}


def search_in_every_way(index: PointIndex) -> list[set[str]]:
    """What comes without overlaps, with all, in groups, and ranked by examples."""
    liked = unit(0, 5)[1:2]
    return [
        search(index, max_overlap=0.5),
        search(index, max_overlap=1.0),
        search(index, max_overlap=0.5, group_size=9),
        search(index, max_overlap=0.5, liked=liked, disliked=unit(1, 1)),
        search(index, max_overlap=0.5, diversity=0.5),
    ]


def test_sound_objects_overlap_and_none_is_broken(index: PointIndex) -> None:
    apart, every, *_ = search_in_every_way(index)
    # All four masks lie in one another: only the nearest is shown.
    assert apart == {FIRST, str(IMAGE.whole.object_id)}
    assert every == ids_of(IMAGE)
    assert index.count_broken() == 0


@pytest.mark.parametrize("how", MASKS)
def test_a_broken_mask_overlaps_nothing(
    index: PointIndex, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(index, LanceIndex) and how == "of an enormous size":
        with pytest.raises(ValueError, match="too large"):  # for the column
            alter(index, MASKS[how])
        return
    alter(index, MASKS[how])
    with caplog.at_level(logging.WARNING):
        for found in search_in_every_way(index):
            # It hides no other object, and no other hides it.
            assert FIRST in found
            assert found & OTHERS
    assert index.count_broken() == 1
    (told,) = [record.message for record in caplog.records if "broken" in record.message]
    assert f"the mask of point {FIRST} is broken, " in told
    assert "objseek verify --repair" in told
    alone = gather_object(index, uuid.UUID(FIRST), 0.5)
    assert alone is not None
    assert alone.overlapping == {FIRST}
    beside = gather_object(index, IMAGE.objects[1].object_id, 0.5)
    assert beside is not None
    assert beside.overlapping == OTHERS


@pytest.mark.parametrize("how", PAYLOADS)
def test_a_point_of_another_program_is_no_hit(index: PointIndex, how: str) -> None:
    if isinstance(index, LanceIndex):
        # Columns are typed, and hold no such point.
        with pytest.raises(ValueError, match=f"point {FIRST} is not one of objseek's"):
            alter(index, PAYLOADS[how])
        return
    alter(index, PAYLOADS[how])
    for found in search_in_every_way(index):
        assert FIRST not in found
        assert found & ids_of(IMAGE)
    assert index.count_broken() == 1
    with pytest.raises(VectorIndexError, match=f"point {FIRST} is not one of objseek's"):
        gather_object(index, uuid.UUID(FIRST), 0.5)
    beside = gather_object(index, IMAGE.objects[1].object_id, 0.5)
    assert beside is not None
    assert beside.overlapping >= OTHERS


@pytest.mark.parametrize("vector", [np.zeros(8, np.float32), np.full(8, np.nan, np.float32)])
def test_an_object_without_direction_is_named(tmp_path: Path, vector: np.ndarray) -> None:
    with one_index("edge", tmp_path) as index:
        index.replace_images([IMAGE])
        point = index.stored([uuid.UUID(FIRST)])[uuid.UUID(FIRST)]
        index.restore([Point(FIRST, point.payload, vector, point.words)])
        with pytest.raises(VectorIndexError, match=f"point {FIRST} has none .*verify --repair"):
            gather_object(index, uuid.UUID(FIRST), 0.5)
        beside = gather_object(index, IMAGE.objects[1].object_id, 0.5)
        assert beside is not None
        assert np.isfinite(beside.vector).all()


def test_the_log_tells_of_the_first_and_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    broken = BrokenPoints()
    for number in (*range(50), 3, 7):
        broken.note(f"p{number}", f"the mask of point p{number} is broken")
    assert len(broken) == 50
    assert len(caplog.records) == 21
    assert "more points are broken" in caplog.records[-1].message


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.one_of(json_values, st.fixed_dictionaries({"size": json_values, "counts": json_values})),
    st.one_of(st.just(20), json_values),
)
def test_any_value_is_a_mask_that_fits_or_is_refused(value: Any, height: Any) -> None:
    payload = {"width": 30, "height": height, "rle": value}
    try:
        mask = read_mask(payload)
    except ValueError:
        return
    assert mask is None or mask.decode().shape == (height, 30)


@given(st.data())
def test_a_string_that_is_changed_fits_or_is_refused(data: st.DataObject) -> None:
    counts = IMAGE.objects[data.draw(st.integers(0, 3))].mask.rle.counts
    start = data.draw(st.integers(0, len(counts)))
    end = data.draw(st.integers(start, len(counts)))
    put = data.draw(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=3))
    counts = counts[:start] + put + counts[end:]
    try:
        mask = read_mask({"width": 30, "height": 20, **rle(counts)})
    except ValueError:
        return
    assert mask is not None
    assert mask.runs().sum() == 600
