"""Parses the examples of `objseek search`: texts, images and regions, indexed objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli.mask_picture import read_mask
from pipeline.search.mask_prompt import encode_mask
from schemas.errors import UsageError
from schemas.search import FileExample, ObjectExample, TextExample

_WEIGHTED = re.compile(r"(.+)\^(\d+(?:\.\d+)?)", re.DOTALL)


def parse_texts(texts: Sequence[str] | None) -> list[TextExample]:
    """Texts to search with; `^` and a number at the end is a weight. Raises UsageError."""
    return [_parse_text(text) for text in texts or ()]


def _parse_text(text: str) -> TextExample:
    match = _WEIGHTED.fullmatch(text)
    words, weight = (match[1], float(match[2])) if match else (text, 1.0)
    if not words.strip():
        raise UsageError(f"expected a text to search for, got a blank one in {text!r}")
    return TextExample(text=words, weight=weight)


def parse_image(
    image: str | None,
    box: str | None,
    point: str | None,
    mask: Path | None = None,
    *,
    exact_box: bool = False,
) -> list[FileExample]:
    """The image to search with, or none: all of it, a box, a point or a mask. Raises UsageError."""
    if exact_box and box is None:
        raise UsageError("expected a --box to go with --exact-box")
    if image is None:
        if box is not None or point is not None or mask is not None:
            raise UsageError("expected an --image to go with --box, --point or --mask")
        return []
    return [
        FileExample(
            path=image,
            box_xyxy=None if box is None else parse_box(box),
            point_xy=None if point is None else parse_point(point),
            exact_box=exact_box,
            mask=None if mask is None else encode_mask(read_mask(mask)),
        )
    ]


def parse_object_ids(object_ids: Sequence[str] | None) -> list[ObjectExample]:
    """Indexed objects to search with."""
    return [ObjectExample(object_id=object_id) for object_id in object_ids or ()]


def parse_point(text: str) -> tuple[float, float]:
    """`x,y` in pixels. Raises UsageError."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise UsageError(f"expected a point as x,y in pixels, got {text!r}") from exc
    return x, y


def parse_box(text: str) -> tuple[int, int, int, int]:
    """`x0,y0,x1,y1` in whole pixels. Raises UsageError."""
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise UsageError(f"expected a box as x0,y0,x1,y1 in whole pixels, got {text!r}") from exc
    return x0, y0, x1, y1
