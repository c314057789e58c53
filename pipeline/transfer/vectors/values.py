"""Parses single values of somebody else's rows: boxes, masks, sparse vectors, own fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np

from schemas.coco import CocoShape
from schemas.masks import CocoRle
from schemas.payload import OwnValue
from schemas.points import SparseVector
from schemas.search import Box

_SHOWN = 80
_CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
_MOST_INDEX = 2**32 - 1
_MOST_INTEGER = 2**63


class BoxForm(StrEnum):
    """What the four numbers of a box are, in pixels."""

    XYXY = "xyxy"
    XYWH = "xywh"


def parse_box(value: Any, form: BoxForm) -> Box:
    """The box of a list of four numbers, or of a struct that names them: pixels, half-open.

    What lies across a pixel takes it whole. Raises ValueError for what is no box of pixels.
    """
    numbers, form = _box_numbers(value, form)
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
        raise ValueError(f"bbox: expected four numbers, got {_shown(value)}")
    if max(map(abs, numbers)) <= 1 and any(each != int(each) for each in numbers):
        raise ValueError(f"bbox: expected pixels, got fractions of the image: {_shown(value)}")
    x0, y0, x1, y1 = numbers
    if form is BoxForm.XYWH:
        x1, y1 = x0 + x1, y0 + y1
    box = (math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))
    if box[0] < 0 or box[1] < 0 or x1 <= x0 or y1 <= y0:
        hint = " (are they x, y, width, height? --boxes xywh)" if form is BoxForm.XYXY else ""
        raise ValueError(f"bbox: expected a box of a pixel or more, got {_shown(value)}{hint}")
    return box


def _box_numbers(value: Any, form: BoxForm) -> tuple[Sequence[Any], BoxForm]:
    if isinstance(value, Mapping):
        for names in _CORNERS:
            if all(name in value for name in names):
                return [value[name] for name in names], BoxForm.XYXY
        for names in _SIDES:
            if all(name in value for name in names):
                return [value[name] for name in names], BoxForm.XYWH
    elif isinstance(value, Sequence) and len(value) == 4:
        return value, form
    raise ValueError(f"bbox: expected four numbers, got {_shown(value)}")


def parse_mask(value: Any, size_hw: tuple[int, int] | None) -> CocoRle:
    """The mask of COCO's forms: an RLE with its size, its counts alone, polygons, JSON of these.

    Without a size of its own it is of `size_hw`. Raises ValueError for a mask that does not fit it,
    or is none.
    """
    value = _read_json(_to_text(value))
    if isinstance(value, Mapping):
        value = {name: _to_text(each) for name, each in value.items() if each is not None}
    size_hw = size_hw or size_of_mask(value)
    if size_hw is None:
        raise ValueError("mask: expected its size, or width and height of the image, got neither")
    if isinstance(value, str) or _is_runs(value):
        value = {"size": list(size_hw), "counts": value}
    try:
        rle = CocoShape(segmentation=value).to_rle(size_hw)
        # What pycocotools cannot decode is found now.
        rle.runs()
        return rle
    except (ValueError, UnicodeError) as exc:
        raise ValueError(f"mask: {exc}") from exc


def size_of_mask(value: Any) -> tuple[int, int] | None:
    """The (height, width) that a mask tells of itself, None if it tells none."""
    match _read_json(_to_text(value)):
        case {"size": [int() as height, int() as width]} if height > 0 and width > 0:
            return height, width
    return None


def _to_text(value: Any) -> Any:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _is_runs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], int)


def parse_sparse(values: Sequence[Any]) -> SparseVector | None:
    """The sparse vector of one value, or of two: indices and weights; None without any term.

    One is a struct of two lists, a map from index to weight, or either as JSON. Terms are sorted.
    Raises ValueError for terms that stand twice, are no indices, or whose weights are not finite.
    """
    value = list(values) if len(values) == 2 else _read_json(values[0])
    if value is None or value == [None, None]:
        return None
    indices, weights = _terms(value)
    if len(indices) != len(weights):
        raise ValueError(
            f"sparse: expected a weight for each index, got {len(weights)} for {len(indices)}"
        )
    if not all(isinstance(each, int) and 0 <= each <= _MOST_INDEX for each in indices):
        raise ValueError(f"sparse: expected indices from 0 to {_MOST_INDEX}, got {_shown(indices)}")
    if len(set(indices)) != len(indices):
        raise ValueError(f"sparse: expected every index once, got {_shown(indices)}")
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in weights):
        raise ValueError(f"sparse: expected finite weights, got {_shown(weights)}")
    order = np.argsort(np.array(indices, np.int64), kind="stable")
    kept_indices = np.array(indices, np.uint32)[order]
    with np.errstate(over="ignore"):
        kept_weights = np.array(weights, np.float64).astype(np.float32)[order]
    if not np.isfinite(kept_weights).all():
        raise ValueError(f"sparse: expected finite weights, got {_shown(weights)}")
    return SparseVector(kept_indices, kept_weights) if len(indices) else None


def _terms(value: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    match value:
        case {"indices": list() as indices, "values": list() as weights}:
            return indices, weights
        case {"indices": list() as indices, "weights": list() as weights}:
            return indices, weights
        case [list() as indices, list() as weights]:
            return indices, weights
        case dict() if all(isinstance(each, str) and each.isdecimal() for each in value):
            return [int(each) for each in value], list(value.values())
    raise ValueError(f"sparse: expected indices and weights, got {_shown(value)}")


def parse_own(value: Any) -> OwnValue | None:
    """A value as a field of the user's own holds it; None for nothing, and for NaN.

    Truths become the texts true and false, times ISO 8601, decimals the nearest number; absent
    texts of a list are left out.
    """
    if isinstance(value, bool):  # not every index can match truths
        return str(value).lower()
    if isinstance(value, list):
        return [each for each in value if each is not None]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) >= _MOST_INTEGER):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    kept: OwnValue | None = value
    return kept


def _read_json(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value  # counts of an RLE may begin so
    return value


def _shown(value: Any) -> str:
    return str(value)[:_SHOWN]
