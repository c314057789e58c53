"""Conditions become typed tests on points; what does not fit a field is refused by its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from qdrant_client import models

from schemas.errors import UsageError
from schemas.payload import PointPayload
from schemas.search import Condition
from workers.indexes.filters import (
    FIELDS,
    Ids,
    Numbers,
    OneOf,
    PointFilter,
    Prefix,
    SureLabel,
    Times,
    label_positions,
    point_filter,
    to_edge_filter,
    to_filter,
)

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ID = "00000000-0000-4000-8000-00000000000a"


def where(field: str, op: str, value: object) -> Condition:
    return Condition.model_validate({"field": field, "op": op, "value": value})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (where("object_id", "=", ID), Ids((ID,))),
        (where("object_id", "=", (ID, "7")), Ids((ID, "7"))),
        (where("bucket", "=", "photos"), OneOf("bucket", ("photos",))),
        (where("version", "=", "007"), OneOf("version", ("007",))),
        (where("uri", "^=", "s3://a/"), Prefix("uri", "s3://a/")),
        (where("key", "^=", "/d\udcff/"), Prefix("key", "/d\ufffd/")),
        (where("width", "=", 640), Numbers("width", 640.0, ("gte", "lte"))),
        (where("width", ">=", 640.0), Numbers("width", 640.0, ("gte",))),
        (where("ordinal", ">", -1), Numbers("ordinal", -1.0, ("gt",))),
        (where("area_frac", "<", 0.05), Numbers("area_frac", 0.05, ("lt",))),
        (where("stability_score", "<=", 1), Numbers("stability_score", 1.0, ("lte",))),
        (where("ingested_at", "<", "2026-01-01"), Times("ingested_at", NEW_YEAR, ("lt",))),
        (
            where("ingested_at", "=", "2026-01-01T02:00:00+02:00"),
            Times("ingested_at", NEW_YEAR, ("gte", "lte")),
        ),
        (
            where("ingested_at", ">=", "2026-01-01T00:00:00Z"),
            Times("ingested_at", NEW_YEAR, ("gte",)),
        ),
    ],
)
def test_a_condition_becomes_a_test(condition: Condition, expected: object) -> None:
    assert point_filter([condition]) == PointFilter(must=(expected,))  # type: ignore[arg-type]


def test_unequal_is_what_must_not_be() -> None:
    given = [where("bucket", "!=", "a"), where("width", "!=", 3), where("kind", "=", "object")]
    assert point_filter(given) == PointFilter(
        must=(OneOf("kind", ("object",)),),
        must_not=(OneOf("bucket", ("a",)), Numbers("width", 3.0, ("gte", "lte"))),
    )


def test_every_flat_field_of_the_payload_can_be_filtered() -> None:
    assert set(FIELDS) - {"object_id"} == set(PointPayload.model_fields) - {
        "bbox",
        "rle",
        "label_scores",
        "label_logsumexp",
        "own",
        "thumbnail",
        "thumbnail_box",
        "thumbnail_check",
    }


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            where("colour", "=", "red"),
            "unknown filter field 'colour', expected one of kind, store,",
        ),
        (where("rle", "=", "x"), "unknown filter field 'rle', expected one of"),
        (where("bucket", "<", "a"), "the filter field 'bucket' takes = != ^=, got '<'"),
        (where("bucket", "=", 3), "the filter field 'bucket' takes a text, got 3"),
        (where("uri", "^=", 0.5), "the filter field 'uri' takes a text, got 0.5"),
        (where("width", "^=", 6), "the filter field 'width' takes = != < <= > >=, got '^='"),
        (where("width", "=", "wide"), "the filter field 'width' takes a whole number, got 'wide'"),
        (where("width", ">", 1.5), "the filter field 'width' takes a whole number, got 1.5"),
        (where("area_frac", ">", float("nan")), "'area_frac' takes a finite number, got nan"),
        (where("area_frac", ">", float("inf")), "'area_frac' takes a finite number, got inf"),
        (where("area_frac", ">", 10**400), "'area_frac' takes a finite number, got 1000"),
        (where("area_frac", ">", "0.5"), "'area_frac' takes a finite number, got '0.5'"),
        (where("ingested_at", ">", "soon"), "'ingested_at' takes a time such as 2026-01-31T12"),
        (where("ingested_at", ">", 2026), "'ingested_at' takes a time such as 2026-01-31T12"),
        (where("object_id", "!=", ID), "the filter field 'object_id' takes =, got '!='"),
        (where("object_id", "=", (ID, "x")), "'object_id' takes ids of objects, got 'x'"),
        (where("object_id", "=", 3), "'object_id' takes ids of objects, got 3"),
        (where("bucket", "=", ("a", "b")), "the filter field 'bucket' takes one value, got 2"),
        (where("ingested_at", "^=", "2026"), "'ingested_at' takes = != < <= > >=, got '^='"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(condition: Condition, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        point_filter([condition])
    assert message in str(caught.value)
    with pytest.raises(UsageError):
        point_filter([condition.model_copy(update={"op": "!="}), condition])


def test_a_label_counts_from_a_score_on() -> None:
    dog = Condition(field="labels", op="=", value="dog", least_score=0.4)
    (test,) = point_filter([dog]).must
    assert test == SureLabel(OneOf("labels", ("dog",)), 0.4, 20)
    objects = point_filter([dog.model_copy(update={"op": "!="}), where("kind", "=", "object")])
    assert objects.must_not == (SureLabel(OneOf("labels", ("dog",)), 0.4, 2),)
    (prefix,) = point_filter([dog.model_copy(update={"op": "^="})]).must
    assert prefix == SureLabel(Prefix("labels", "dog"), 0.4, 20)
    # Every guess.
    for least in (0, None):
        every = point_filter([dog.model_copy(update={"least_score": least})])
        assert every.must == (OneOf("labels", ("dog",)),)
    with pytest.raises(UsageError, match="only the filter field 'labels' takes a least score"):
        point_filter([Condition(field="key", op="=", value="dog", least_score=0.4)])


@pytest.mark.parametrize(
    ("least", "positions"),
    [
        (1.0, 1),
        (0.9, 1),
        (0.53, 1),
        (0.5, 1),
        (0.49, 2),
        (0.34, 2),
        (0.3, 3),
        (0.05, 19),
        (0.01, 20),
    ],
)
def test_labels_of_an_object_share_one(least: float, positions: int) -> None:
    assert label_positions(least, objects=True) == positions
    assert label_positions(least, objects=False) == 20


def test_no_condition_is_no_filter() -> None:
    assert point_filter([]) == PointFilter()
    assert to_filter(PointFilter()) is None
    assert to_edge_filter(PointFilter()) is None


def test_a_server_gets_its_own_filter() -> None:
    given = PointFilter(
        must=(
            OneOf("image_id", ("a", "b")),
            Prefix("uri", "s3://"),
            Numbers("width", 3.0, ("gte", "lte")),
            Times("ingested_at", NEW_YEAR, ("lt",)),
        ),
        must_not=(Ids(("3", "4")),),
    )
    expected: dict[str, Any] = {
        "must": [
            {"key": "image_id", "match": {"any": ["a", "b"]}},
            {"key": "uri", "match": {"prefix": "s3://"}},
            {"key": "width", "range": {"gte": 3.0, "lte": 3.0}},
            {"key": "ingested_at", "range": {"lt": "2026-01-01T00:00:00Z"}},
        ],
        "must_not": [{"has_id": [3, 4]}],
    }
    made = to_filter(given)
    assert isinstance(made, models.Filter)
    assert made.model_dump(mode="json", exclude_none=True) == expected


def test_the_embedded_engine_gets_the_same_filter() -> None:
    given = PointFilter(
        must=(OneOf("image_id", ("a",)), Numbers("width", 3.0, ("gte", "lt"))),
        must_not=(Prefix("uri", "s3://"), Ids(("5e0f2b2e-0c5b-5f6d-8a55-0d1a3f1f4c11",))),
    )
    made = to_edge_filter(given)
    assert made is not None
    assert [len(made.must or []), len(made.must_not or [])] == [2, 2]
    text = repr(made)
    for part in ('"image_id"', '"a"', '"width"', "gte=3", "lt=3", '"s3://"', "5e0f2b2e-0c5b"):
        assert part in text
