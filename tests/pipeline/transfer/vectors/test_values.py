"""Single values of somebody else's rows: boxes, masks, sparse vectors, fields of their own."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from pipeline.transfer.vectors.values import (
    BoxForm,
    parse_box,
    parse_mask,
    parse_own,
    parse_sparse,
    size_of_mask,
)
from schemas.masks import CocoRle

_MASK = np.zeros((4, 6), bool)
_MASK[1:3, 2:5] = True
_RLE = CocoRle.from_mask(_MASK)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([2, 1, 5, 3], BoxForm.XYXY),
        ([2.2, 1.9, 4.1, 2.5], BoxForm.XYXY),
        ([2, 1, 3, 2], BoxForm.XYWH),
        ({"xmin": 2, "ymin": 1, "xmax": 5, "ymax": 3}, BoxForm.XYWH),
        ({"x": 2, "y": 1, "width": 3, "height": 2}, BoxForm.XYXY),
    ],
)
def test_boxes_are_corners_in_whole_pixels(value: Any, form: BoxForm) -> None:
    assert parse_box(value, form) == (2, 1, 5, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2, 3], "expected four numbers"),
        ([5, 1, 2, 3], "of a pixel or more.*--boxes xywh"),
        ([0.1, 0.2, 0.5, 0.9], "expected pixels, got fractions"),
        ([0, 0, float("nan"), 3], "expected four numbers"),
        ([-3, 0, 2, 3], "of a pixel or more"),
        ({"left": 1}, "expected four numbers"),
    ],
)
def test_what_is_no_box_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_box(value, BoxForm.XYXY)


@pytest.mark.parametrize(
    "value",
    [
        {"size": [4, 6], "counts": _RLE.counts},
        {"size": [4, 6], "counts": _RLE.counts.encode()},
        {"size": [4, 6], "counts": _RLE.runs().tolist()},
        json.dumps({"size": [4, 6], "counts": _RLE.counts}),
        _RLE.counts,
        _RLE.counts.encode(),
        _RLE.runs().tolist(),
        [[2, 1, 5, 1, 5, 3, 2, 3]],
        "[[2, 1, 5, 1, 5, 3, 2, 3]]",
    ],
)
def test_masks_come_in_any_of_coco_forms(value: Any) -> None:
    assert parse_mask(value, (4, 6)).decode().tolist() == _MASK.tolist()


def test_a_mask_may_tell_its_size() -> None:
    value = {"size": [4, 6], "counts": _RLE.counts}
    assert size_of_mask(value) == size_of_mask(json.dumps(value)) == (4, 6)
    assert parse_mask(value, None) == _RLE
    assert size_of_mask(_RLE.counts) is None


@pytest.mark.parametrize(
    ("value", "size_hw", "message"),
    [
        (_RLE.counts, None, "expected its size"),
        ({"size": [4, 6], "counts": _RLE.counts}, (4, 7), r"expected a mask of \[4, 7\]"),
        ("~~", (4, 6), "mask: "),
        (CocoRle.from_mask(~_MASK & _MASK).counts, (4, 6), "without a pixel"),
        (True, (4, 6), "expected an RLE or polygons"),
    ],
)
def test_what_is_no_mask_is_refused(
    value: Any, size_hw: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mask(value, size_hw)


@pytest.mark.parametrize(
    "values",
    [
        [{"indices": [9, 2], "values": [0.5, 1.5]}],
        [{"indices": [9, 2], "weights": [0.5, 1.5]}],
        [[9, 2], [0.5, 1.5]],
        ['{"indices": [9, 2], "values": [0.5, 1.5]}'],
        ['{"9": 0.5, "2": 1.5}'],
        ["[[9, 2], [0.5, 1.5]]"],
    ],
)
def test_sparse_vectors_are_sorted_terms(values: list[Any]) -> None:
    sparse = parse_sparse(values)
    assert sparse is not None
    assert (sparse.indices.tolist(), sparse.values.tolist()) == ([2, 9], [1.5, 0.5])
    assert (sparse.indices.dtype, sparse.values.dtype) == (np.uint32, np.float32)


@pytest.mark.parametrize("values", [[None], [None, None], [[], []]])
def test_a_row_may_have_no_sparse_vector(values: list[Any]) -> None:
    assert parse_sparse(values) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [0.5]], "a weight for each index, got 1 for 2"),
        ([[1, 1], [0.5, 0.5]], "every index once"),
        ([[-1], [0.5]], "expected indices from 0"),
        ([[2**32], [0.5]], "expected indices from 0"),
        ([[1], [float("inf")]], "expected finite weights"),
        ([[1], [1e300]], "expected finite weights"),
        (["cat"], "expected indices and weights, got cat"),
    ],
)
def test_wrong_sparse_vectors_are_refused(values: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_sparse(values)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a", "a"),
        (3, 3),
        (True, "true"),
        (1.5, 1.5),
        (float("nan"), None),
        (None, None),
        (["a", None, "b"], ["a", "b"]),
        (Decimal("1.5"), 1.5),
        (2**63, float(2**63)),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
    ],
)
def test_own_values_are_what_filters_compare(value: Any, kept: Any) -> None:
    parsed = parse_own(value)
    assert parsed == kept
    assert type(parsed) is type(kept)
