"""Computes which part of its image is shown around an object."""

from __future__ import annotations

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half-open."""

CONTEXT_SHARE = 0.3
"""Of an object's longer side, shown around it on each side."""
MIN_CROP_PX = 72
"""Smaller objects are shown with more around them, rather than blurred."""


def crop_box(bbox_xyxy: Box, size_hw: tuple[int, int]) -> Box:
    """The object with its surroundings, in its own proportions, within the image."""
    x0, y0, x1, y1 = bbox_xyxy
    margin = round(_margin_px(bbox_xyxy))
    height, width = size_hw
    return (
        max(0, x0 - margin),
        max(0, y0 - margin),
        min(width, x1 + margin),
        min(height, y1 + margin),
    )


def square_crop_box(bbox_xyxy: Box, size_hw: tuple[int, int]) -> Box:
    """The object with its surroundings, square where the image allows it."""
    x0, y0, x1, y1 = bbox_xyxy
    side = round(max(x1 - x0, y1 - y0) + 2 * _margin_px(bbox_xyxy))
    left, right = _place_span((x0 + x1) / 2, side, size_hw[1])
    top, bottom = _place_span((y0 + y1) / 2, side, size_hw[0])
    return left, top, right, bottom


def grow_box(box_xyxy: Box, ratio: float, size_hw: tuple[int, int]) -> Box:
    """The box made wider or higher until width over height is `ratio`, as the image allows it."""
    x0, y0, x1, y1 = box_xyxy
    width, height = max(x1 - x0, round((y1 - y0) * ratio)), max(y1 - y0, round((x1 - x0) / ratio))
    left, right = _place_span((x0 + x1) / 2, width, size_hw[1])
    top, bottom = _place_span((y0 + y1) / 2, height, size_hw[0])
    return left, top, right, bottom


def _margin_px(bbox_xyxy: Box) -> float:
    x0, y0, x1, y1 = bbox_xyxy
    longer = max(x1 - x0, y1 - y0)
    return max(CONTEXT_SHARE * longer, (MIN_CROP_PX - longer) / 2)


def _place_span(centre: float, length: int, limit: int) -> tuple[int, int]:
    """`length` pixels around `centre`, moved into 0..limit, or all of it if it is shorter."""
    length = min(length, limit)
    start = min(max(round(centre - length / 2), 0), limit - length)
    return start, start + length
