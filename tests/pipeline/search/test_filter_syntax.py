"""Filter texts become typed conditions; what cannot be understood is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.filter_syntax import looks_like_condition, parse_condition, parse_conditions
from schemas.errors import UsageError
from schemas.payload import KEYWORD_FIELDS
from schemas.search import Condition

ID = "00000000-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("text", "field", "op", "value"),
    [
        ("bucket=photos", "bucket", "=", "photos"),
        ("bucket==photos", "bucket", "=", "photos"),
        ("key===odd", "key", "=", "=odd"),
        ("key!=a=b", "key", "!=", "a=b"),
        ("uri^=s3://photos/2026/", "uri", "^=", "s3://photos/2026/"),
        ("area_frac>0.05", "area_frac", ">", 0.05),
        (" area_frac >= 5e-2 ", "area_frac", ">=", 0.05),
        ("predicted_iou<1", "predicted_iou", "<", 1.0),
        ("width<=640", "width", "<=", 640),
        ("ordinal!=-1", "ordinal", "!=", -1),
        ("version=007", "version", "=", "007"),
        (f"object_id={ID}, 7", "object_id", "=", (ID, "7")),
        ("on_map=1764400000:0,0,1,0,1,1", "on_map", "=", "1764400000:0,0,1,0,1,1"),
        ("ingested_at>=2026-01-31", "ingested_at", ">=", "2026-01-31T00:00:00+00:00"),
        ("ingested_at<2026-01-31T12:00+02:00", "ingested_at", "<", "2026-01-31T12:00:00+02:00"),
    ],
)
def test_a_text_becomes_a_condition(text: str, field: str, op: str, value: object) -> None:
    condition = parse_condition(text)
    assert (condition.field, condition.op, condition.value) == (field, op, value)
    assert type(condition.value) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photos", "expected a filter such as"),
        ("", "expected a filter such as"),
        ("colour=red", "unknown filter field 'colour'"),
        ("bucket>a", "the filter field 'bucket' takes = != ^=, got '>'"),
        ("width^=6", "the filter field 'width' takes = != < <= > >=, got '^='"),
        ("width=wide", "the filter field 'width' takes a whole number, got 'wide'"),
        ("width=1.5", "the filter field 'width' takes a whole number, got '1.5'"),
        ("area_frac>nan", "the filter field 'area_frac' takes a finite number, got nan"),
        ("ingested_at>soon", "takes a time such as 2026-01-31T12:00:00Z, got 'soon'"),
        ("on_map=1764400000:0,0,1,0", "the filter field 'on_map': expected the time at which"),
        ("on_map!=7:0,0,1,0,1,1", "the filter field 'on_map' takes = and a text, got !="),
        ("bucket= ", "the filter 'bucket= ' has no value"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert message in str(caught.value)


@given(
    field=st.sampled_from(KEYWORD_FIELDS),
    op=st.sampled_from(["=", "!=", "^="]),
    value=st.text(min_size=1).filter(lambda text: text == text.strip() and text[0] != "="),
)
def test_any_value_of_a_text_field_is_kept_as_it_stands(field: str, op: str, value: str) -> None:
    assert parse_condition(f"{field}{op}{value}") == Condition.model_validate(
        {"field": field, "op": op, "value": value}
    )


def test_several_texts_keep_their_order() -> None:
    conditions = parse_conditions(["width>10", "kind=image"])
    assert [condition.field for condition in conditions] == ["width", "kind"]


def test_a_name_with_an_operator_looks_like_a_condition() -> None:
    assert looks_like_condition("area_frac>0.05")
    assert looks_like_condition("uri^=s3://photos/")
    assert not looks_like_condition("a red apple")
    assert looks_like_condition("price>10"), "so that it is refused by name"
    assert not looks_like_condition("--limit")
