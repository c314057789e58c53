"""Computes which part of its image is shown around an object."""

from __future__ import annotations

from schemas.payload import PointPayload
from schemas.search import Box

CONTEXT_SHARE = 0.3
"""Of an object's longer side, shown around it on each side."""
MIN_CROP_PX = 72
"""Smaller objects are shown with more around them, rather than blurred."""


def crop_box(payload: PointPayload) -> Box:
    """The object with its surroundings, in its own proportions, within the image."""
    x0, y0, x1, y1 = payload.bbox
    margin = round(_margin_px(payload))
    return (
        max(0, x0 - margin),
        max(0, y0 - margin),
        min(payload.width, x1 + margin),
        min(payload.height, y1 + margin),
    )


def square_crop_box(payload: PointPayload) -> Box:
    """The object with its surroundings, square where the image allows it."""
    x0, y0, x1, y1 = payload.bbox
    side = round(max(x1 - x0, y1 - y0) + 2 * _margin_px(payload))
    left, right = _place_span((x0 + x1) / 2, side, payload.width)
    top, bottom = _place_span((y0 + y1) / 2, side, payload.height)
    return left, top, right, bottom


def _margin_px(payload: PointPayload) -> float:
    x0, y0, x1, y1 = payload.bbox
    longer = max(x1 - x0, y1 - y0)
    return max(CONTEXT_SHARE * longer, (MIN_CROP_PX - longer) / 2)


def _place_span(centre: float, length: int, limit: int) -> tuple[int, int]:
    """`length` pixels around `centre`, moved into 0..limit, or all of it if it is shorter."""
    length = min(length, limit)
    start = min(max(round(centre - length / 2), 0), limit - length)
    return start, start + length
