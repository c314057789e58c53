"""Fields of the user's own: filtered by alike in every index, whatever types they have."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from support.index_cases import embedded, unit, where

from pipeline.search.filter_syntax import parse_conditions
from schemas.checksums import digest
from schemas.dataset import points_table, table_points
from schemas.errors import UsageError
from schemas.ids import image_id
from schemas.payload import OwnKind, PointPayload
from schemas.points import Point
from schemas.search import Condition
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.point_index import PointIndex
from workers.indexes.points import image_points

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

_NOW = datetime(2026, 1, 31, tzinfo=UTC)
_OWN: list[dict[str, Any]] = [
    {"price": 9.5, "sku": "A-1", "tags": ["new", "red"], "sold": "true", "größe": 3},
    {"price": 12, "sku": "12", "tags": [], "sold": "false"},
    {"price": "12", "sku": "A-2", "tags": ["old"]},
    {},
]
_KINDS: dict[str, OwnKind] = {
    "own.price": "number", "own.sku": "text", "own.tags": "text", "own.sold": "text",
}  # fmt: skip


def own_points() -> list[Point]:
    """Points of images that are called 0 to 3, each with its fields."""
    points = []
    for number, own in enumerate(_OWN):
        (point,) = image_points(embedded(str(number), unit(number, 1)), _NOW)
        points.append(replace(point, payload={**point.payload, **({"own": own} if own else {})}))
    return points


@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (["own.price<10"], "0"),
        (["own.price>=9.5"], "01"),
        (["own.price=12"], "12"),
        (["own.price!=12"], "03"),
        (["own.sku=12"], "1"),
        (["own.sku=A-1"], "0"),
        (["own.sku^=A-"], "02"),
        (["own.tags=red"], "0"),
        (["own.tags!=red"], "123"),
        (["own.sold=true"], "0"),
        (["own.sold=false"], "1"),
        (["own.sold!=true"], "123"),
        (["own.sold=1"], ""),
        (["own.größe=3"], "0"),
        (["own.nothing=3"], ""),
        (["own.price>5", "own.sold=false"], "1"),
    ],
)
def test_they_are_filtered_by_what_they_hold(
    index: PointIndex, texts: list[str], keys: str, is_indexed: bool
) -> None:
    if is_indexed:
        index.restore(own_points())
        index.index_own_fields(_KINDS)  # again, which changes nothing
    else:
        index.upsert(own_points())
        index.flush()
    found = index.scroll(parse_conditions(texts))
    assert sorted(point.payload["key"] for point in found) == list(keys)


@pytest.mark.parametrize("value", [12, 12.0])
def test_a_number_finds_numbers_alone(index: PointIndex, value: float) -> None:
    index.restore(own_points())
    condition = Condition(field="own.price", op="=", value=value)
    assert [point.payload["key"] for point in index.scroll([condition])] == ["1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("own.price<cheap", "the filter field 'own.price' takes a finite number, got 'cheap'"),
        ("own.price<nan", "takes a finite number"),
        ("own=3", "unknown filter field 'own', .* or own.NAME for a field that was imported"),
        ("own.a.b=3", "unknown filter field 'own.a.b'"),
        ("own.price=", "has no value"),
    ],
)
def test_what_no_field_can_hold_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_conditions([text])


def test_ready_points_replace_what_their_image_had(index: PointIndex) -> None:
    image = embedded("0", unit(1, 3))
    index.replace_images([image], _NOW)
    (point, *_) = own_points()
    later = replace(point, payload={**point.payload, "run_started_at": _NOW.isoformat()})
    assert index.replace_points({image_id(image.ref): [later]}, _NOW) == set()
    assert [each.payload["own"] for each in index.scroll()] == [_OWN[0]]
    # What a run that started later has written stays.
    early = datetime(2025, 1, 1, tzinfo=UTC)
    assert index.replace_points({image_id(image.ref): []}, early) == {image_id(image.ref)}
    assert index.count([where("kind", "=", "image")]) == 1


def test_checksums_have_them_and_those_of_older_points_do_not_change() -> None:
    (point, *_, bare) = own_points()
    payload, without = point.parse_payload(), bare.parse_payload()
    assert digest(point.id, payload) != digest(
        point.id, payload.model_copy(update={"own": {**_OWN[0], "price": 9.6}})
    )
    almost = payload.model_copy(update={"own": {**_OWN[0], "price": 9.5 + 1e-15}})
    assert digest(point.id, payload) == digest(point.id, almost)
    assert '"own"' not in without.model_dump_json(exclude_none=True)
    assert digest(bare.id, without) == digest(
        bare.id, PointPayload.model_validate(json.loads(without.model_dump_json()))
    )


def test_a_table_keeps_them_with_their_types() -> None:
    back = list(table_points(points_table(own_points(), 8)))
    assert [each.payload.get("own", {}) for each in back if isinstance(each, Point)] == _OWN
    assert type(back[1].payload["own"]["price"]) is int  # type: ignore[union-attr]


def test_an_embedded_index_has_payload_indexes_of_them(index: PointIndex) -> None:
    if not isinstance(index, EdgeIndex):
        pytest.skip("another kind of index")
    index.restore(own_points())
    assert set(_KINDS) <= set(index._shard.info().payload_schema)
