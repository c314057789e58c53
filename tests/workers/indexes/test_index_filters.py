"""Filters mean the same in every index, and the best points are exactly the best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.index_cases import SERVER, embedded, make_opener, unit, where

from schemas.errors import (
    VectorIndexError,
)
from schemas.masks import CocoRle
from schemas.payload import DATETIME_FIELDS, RlePayload
from schemas.points import IndexQuery, ScoredPoint
from schemas.search import Condition
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.point_index import PointIndex
from workers.indexes.points import batch_points, image_points, json_bytes, to_hit
from workers.indexes.ranking import select_best

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[PointIndex]]:
    """The same points in every index at hand."""
    images = [
        embedded(
            ("2026/" if n % 2 else "20") + f"{n}.jpg",
            unit(n, 1 + n % 5),
            bucket=("photos", "fotos", "ü")[n % 3],
            fingerprint=f"f{n % 4}",
            size_hw=(20 + n % 3, 30 * (1 + n % 2)),
        )
        for n in range(16)
    ]
    kinds = ["edge", "memory", "stand-in", *(["server"] if SERVER else [])]
    made = [make_opener(kind, tmp_path_factory.mktemp("filled")) for kind in kinds]
    indexes = [opened() for opened, _ in made]
    for index in indexes:
        index.replace_images(images)
    yield indexes
    for index, (_, removed) in zip(indexes, made, strict=True):
        if isinstance(index, EdgeIndex):
            index.close()
        removed()


TEXTS = [
    *["", "object", "image", "photos", "f", "fotos", "ü", "20", "2026/", "s3://", "f1", "s3"],
    *["s3://photos/2026/3.jpg", "clip_x", "CLIP", "2026/1.jpg", "\udcff"],
]
text_conditions = st.builds(
    where,
    st.sampled_from(["kind", "bucket", "key", "uri", "fingerprint", "embedder", "store"]),
    st.sampled_from(["=", "!=", "^="]),
    st.sampled_from(TEXTS),
)
numbers = ["=", "!=", "<", "<=", ">", ">="]
number_conditions = st.one_of(
    st.builds(
        where,
        st.sampled_from(["width", "height", "area", "ordinal"]),
        st.sampled_from(numbers),
        st.one_of(st.sampled_from([-1, 0, 1, 2, 20, 21, 28, 30, 35, 60, 2**70]), st.just(30.0)),
    ),
    st.builds(
        where,
        st.sampled_from(["area_frac", "predicted_iou", "stability_score"]),
        st.sampled_from(numbers),
        st.sampled_from([0, 1, 0.9, 0.95, 0.9 - 1 / 64, 28 / 600, 0.04, -1.5, 1e300]),
    ),
)
time_conditions = st.builds(
    where,
    st.sampled_from(["ingested_at", "run_started_at"]),
    st.sampled_from(numbers),
    st.sampled_from(["2020-01-01", "2020-01-01T00:00:00+02:00", "2999-12-31T23:59:59.5Z"]),
)


def met(condition: Condition, payload: dict[str, Any]) -> bool:
    """What a condition means, on the payload as JSON."""
    value, wanted = payload.get(condition.field), condition.value
    if condition.op == "!=":
        return not met(condition.model_copy(update={"op": "="}), payload)
    if value is None:
        return False
    if condition.field in DATETIME_FIELDS:
        value, wanted = datetime.fromisoformat(value), datetime.fromisoformat(str(wanted))
        wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)
    if isinstance(wanted, str):
        wanted = wanted.replace("\udcff", "\ufffd")
    compared: dict[str, Callable[[], Any]] = {
        "=": lambda: value == wanted,
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted,
        "^=": lambda: value.startswith(wanted),
    }
    return bool(compared[condition.op]())


@settings(max_examples=150)
@given(
    conditions=st.lists(
        st.one_of(text_conditions, number_conditions, time_conditions), min_size=1, max_size=3
    ),
    limit=st.integers(1, 60),
    grouped=st.booleans(),
)
def test_filters_mean_the_same_everywhere(
    filled: list[PointIndex], conditions: list[Condition], limit: int, grouped: bool
) -> None:
    query = unit(123, 1)[0]
    everything = filled[0].search(IndexQuery(query, 1000))
    expected = []
    for hit in everything:
        payload = hit.payload.model_dump(mode="json", exclude_none=True)
        if all(met(condition, payload) for condition in conditions):
            expected.append((hit.object_id, hit.payload.image_id))
    if grouped:
        firsts: dict[str, str] = {}
        for identity, image in expected:
            firsts.setdefault(image, identity)
        expected = [(identity, image) for image, identity in firsts.items()]
    for index in filled:
        hits = index.search(
            IndexQuery(query, limit, tuple(conditions), group_size=1 if grouped else None)
        )
        assert [hit.object_id for hit in hits] == [identity for identity, _ in expected[:limit]]


def test_a_condition_and_its_opposite_leave_nothing(filled: list[PointIndex]) -> None:
    query = unit(123, 1)[0]
    both = (where("kind", "=", "object"), where("kind", "!=", "object"))
    for index in filled:
        assert index.search(IndexQuery(query, 9, both)) == []
        assert index.search(IndexQuery(query, 9, both, group_size=1)) == []


def test_ingest_times_are_compared_to_the_microsecond(filled: list[PointIndex]) -> None:
    query = unit(123, 1)[0]
    for index in filled:
        at = index.search(IndexQuery(query, 1))[0].payload.ingested_at
        same = where("ingested_at", "=", at.isoformat())
        later = where("ingested_at", ">=", (at + timedelta(microseconds=1)).isoformat())
        assert len(index.search(IndexQuery(query, 99, (same,)))) == index.info().points
        assert index.search(IndexQuery(query, 99, (later,))) == []


@given(
    scores=st.lists(st.sampled_from([0.1, 0.2, 0.3]), max_size=40),
    limit=st.integers(1, 12),
    grouped=st.booleans(),
)
def test_the_best_are_exact_however_the_engine_breaks_ties(
    scores: list[float], limit: int, grouped: bool
) -> None:
    points = [ScoredPoint(f"{n:02d}", {"image_id": n % 7}, score=s) for n, s in enumerate(scores)]
    engine = sorted(points, key=lambda point: (point.score, point.id), reverse=True)
    ranked = sorted(points, key=lambda point: (-point.score, point.id))
    if grouped:
        firsts: dict[int, ScoredPoint] = {}
        for point in ranked:
            firsts.setdefault(point.payload["image_id"], point)
        ranked = list(firsts.values())
    assert select_best(lambda size: engine[:size], limit, grouped, 1.0, fail) == ranked[:limit]


def masked(number: int, score: float, image: int, box: tuple[int, int, int, int]) -> ScoredPoint:
    mask = np.zeros((9, 9), bool)
    mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    rle = RlePayload(size=(9, 9), counts=CocoRle.from_mask(mask).counts)
    payload = {"image_id": image, "width": 9, "height": 9, "rle": rle.model_dump()}
    return ScoredPoint(f"{number:02d}", payload, score=score)


@given(
    objects=st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.2, 0.3]),
            st.integers(0, 1),
            st.tuples(*[st.integers(0, 4)] * 2, *[st.integers(1, 5)] * 2),
        ),
        max_size=12,
    ),
    limit=st.integers(1, 6),
    max_overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
)
def test_the_best_that_do_not_overlap_are_exact(
    objects: list[tuple[float, int, tuple[int, int, int, int]]], limit: int, max_overlap: float
) -> None:
    points = [masked(number, *arguments) for number, arguments in enumerate(objects)]
    ranked = sorted(points, key=lambda point: (-point.score, point.id))
    shown: list[ScoredPoint] = []
    for point in ranked:
        image, mask = point.payload["image_id"], pixels(point)
        other_masks = [pixels(other) for other in shown if other.payload["image_id"] == image]
        shares = [
            (mask & other_mask).sum() / min(mask.sum(), other_mask.sum())
            for other_mask in other_masks
        ]
        if all(share <= max_overlap for share in shares):
            shown.append(point)
    assert select_best(lambda size: ranked[:size], limit, False, max_overlap, fail) == shown[:limit]


def fail(point_id: str, reason: str) -> None:
    pytest.fail(f"{point_id} is not broken: {reason}")


def pixels(point: ScoredPoint) -> np.ndarray:
    return RlePayload.model_validate(point.payload["rle"]).to_rle().decode()


def test_batches_are_bounded_by_points_and_bytes() -> None:
    rows = image_points(embedded("a.jpg", unit(0, 10)), datetime.now(UTC))
    assert [len(batch) for batch in batch_points(rows, 4)] == [4, 4, 2]
    size = max(map(json_bytes, rows))
    assert [len(batch) for batch in batch_points(rows, 4, 2 * size)] == [2] * 5
    assert [len(batch) for batch in batch_points(rows, 4, 1)] == [1] * 10
    assert [row for batch in batch_points(rows, 3) for row in batch] == rows
    assert list(batch_points([], 3)) == []


def test_a_point_of_someone_else_is_named() -> None:
    with pytest.raises(VectorIndexError, match=r"point 7 is not one of objseek's .*kind"):
        to_hit(ScoredPoint("7", {"title": "x"}, score=0.5))


def test_points_are_found_by_their_ids(tmp_path: Path) -> None:
    query = unit(123, 1)[0]
    for kind in ("edge", "lance", "memory"):
        opened, removed = make_opener(kind, tmp_path / kind)
        index = opened()
        index.replace_images([embedded(f"{n}.jpg", unit(n, 3)) for n in range(4)])
        every = index.search(IndexQuery(query, 99))
        ids = tuple(hit.object_id for hit in every[1::3])
        among = where("object_id", "=", (*ids, "00000000-0000-4000-8000-000000000000"))
        objects = where("kind", "=", "object")
        hits = index.search(IndexQuery(query, 99, (among,)))
        assert [hit.object_id for hit in hits] == list(ids)
        expected = [hit for hit in hits if hit.payload.kind == "object"]
        assert index.search(IndexQuery(query, 99, (objects, among))) == expected
        assert index.count((objects, among)) == len(expected)
        assert index.count((where("object_id", "=", ids[0]),)) == 1
        index.close()
        removed()
