"""What columns of somebody else's rows are taken for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.transfer.vectors.columns import ColumnMapping, choose_columns, parse_columns
from schemas.errors import UsageError

_FLOATS = pa.list_(pa.float32())
_TEXT, _WHOLE = pa.string(), pa.int64()


def chosen(mapping: ColumnMapping) -> dict[str, str]:
    return {each.field: "+".join(each.columns) for each in mapping.choices}


def guess(told: str = "", **columns: pa.DataType) -> ColumnMapping:
    return choose_columns(pa.schema(list(columns.items())), parse_columns(told))


def test_plain_names_say_what_columns_are() -> None:
    mapping = guess(
        id=_WHOLE,
        url=_TEXT,
        embedding=pa.list_(pa.float32(), 512),
        bbox=pa.list_(pa.float64(), 4),
        rle=pa.struct([("size", pa.list_(pa.int64())), ("counts", _TEXT)]),
        caption=_TEXT,
        width=_WHOLE,
        height=_WHOLE,
        price=pa.float64(),
        sold=pa.bool_(),
        tags=pa.list_(_TEXT),
        raw=pa.binary(),
        text_embedding=_FLOATS,
    )
    assert chosen(mapping) == {
        "vector": "embedding", "uri": "url", "id": "id", "bbox": "bbox", "mask": "rle",
        "text": "caption", "width": "width", "height": "height",
        "vector.text_embedding": "text_embedding",
    }  # fmt: skip
    own = {name: name for name in ("id", "caption", "price", "sold", "tags")}
    assert mapping.own == own
    assert set(mapping.left_out) == {"raw"}


def test_names_in_capitals_are_names() -> None:
    assert chosen(guess(Image_Path=_TEXT, Vector=_FLOATS)) == {
        "vector": "Vector", "uri": "Image_Path",
    }  # fmt: skip


def test_columns_of_one_name_are_left_out() -> None:
    schema = pa.schema(
        [("vector", _FLOATS), ("uri", _TEXT), ("price", _WHOLE), ("price", _TEXT), ("url", _TEXT)]
    )
    mapping = choose_columns(schema, {})
    assert (chosen(mapping)["uri"], mapping.own) == ("uri", {"url": "url"})
    assert mapping.left_out == {"price": "several columns have this name"}
    assert mapping.read == ("vector", "uri", "url")
    twice = schema.append(pa.field("uri", _TEXT))
    assert chosen(choose_columns(twice, {}))["uri"] == "url"
    with pytest.raises(UsageError, match=r"one column for uri that is called 'uri', got several"):
        choose_columns(twice, parse_columns("uri=uri"))


def test_the_only_list_of_numbers_is_the_vector() -> None:
    mapping = guess(path=_TEXT, dino=pa.list_(pa.float16()), bbox=_FLOATS)
    assert chosen(mapping) == {"vector": "dino", "uri": "path", "bbox": "bbox"}
    assert mapping.choices[0].why.startswith("the only list of numbers")


def test_of_several_lists_that_are_not_named_plainly_none_is_guessed() -> None:
    with pytest.raises(UsageError, match=r"a list of numbers.*--columns vector=COLUMN"):
        guess(path=_TEXT, first=_FLOATS, second=_FLOATS)
    assert chosen(guess("vector=second", path=_TEXT, first=_FLOATS, second=_FLOATS)) == {
        "vector": "second", "uri": "path",
    }  # fmt: skip


def test_without_a_uri_there_is_no_image() -> None:
    with pytest.raises(UsageError, match=r"where the image of each row is.*--columns uri=COLUMN"):
        guess(sku=_TEXT, vector=_FLOATS)


def test_what_is_told_stands_over_names() -> None:
    mapping = guess(
        "uri=sku,text=,sparse=idx+weights",
        uri=_TEXT,
        sku=_TEXT,
        text=_TEXT,
        vector=_FLOATS,
        idx=pa.list_(_WHOLE),
        weights=_FLOATS,
    )
    assert chosen(mapping) == {"vector": "vector", "uri": "sku", "sparse": "idx+weights"}
    assert mapping.own == {"uri": "uri", "text": "text"}
    assert mapping.read == ("vector", "sku", "idx", "weights", "uri", "text")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("colour=x", "expected FIELD=COLUMN in --columns, with one of vector, uri"),
        ("uri", "expected FIELD=COLUMN in --columns"),
        ("uri=nowhere", "expected a column for uri among uri, vector, got 'nowhere'"),
        ("vector=uri", "expected lists of numbers in the column 'uri', got string"),
    ],
)
def test_what_is_told_wrongly_is_refused(told: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        guess(told, uri=_TEXT, vector=_FLOATS)


def test_names_of_own_fields_are_letters_digits_and_underscores() -> None:
    schema = {"uri": _TEXT, "vector": _FLOATS, "a b.c": _WHOLE, "a-b-c": _WHOLE, "größe": _WHOLE}
    mapping = guess(**schema)
    assert mapping.own == {"a b.c": "a_b_c", "größe": "größe"}
    assert mapping.left_out == {"a-b-c": "another column has the same name but for its signs"}
