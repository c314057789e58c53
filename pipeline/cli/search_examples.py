"""Parses the examples of `objseek search`: texts, images, vectors, indexed objects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.errors import UsageError, one_line
from schemas.search import FileExample, ObjectExample, TextExample, VectorExample

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
    image: str | None, box: str | None, point: str | None, *, exact_box: bool = False
) -> list[FileExample]:
    """The image to search with, or none; all of it, a box or a point. Raises UsageError."""
    if exact_box and box is None:
        raise UsageError("expected a --box to go with --exact-box")
    if image is None:
        if box is not None or point is not None:
            raise UsageError("expected an --image to go with --box or --point")
        return []
    return [
        FileExample(
            path=image,
            box_xyxy=None if box is None else parse_box(box),
            point_xy=None if point is None else parse_point(point),
            exact_box=exact_box,
        )
    ]


def parse_vector(path: Path | None) -> list[VectorExample]:
    """The vector of a .npy file, or of a JSON file with a list of numbers. Raises UsageError."""
    if path is None:
        return []
    try:
        if path.suffix.lower() == ".npy":
            numbers = np.load(path)
        else:
            numbers = np.array(json.loads(path.read_bytes()), np.float64)
        vector = np.atleast_1d(np.squeeze(numbers)).astype(np.float64)
    except (OSError, ValueError, TypeError) as exc:
        raise UsageError(f"expected a vector in {path}, got none: {one_line(exc)}") from exc
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise UsageError(
            f"expected a finite vector (dim,) other than zero in {path}, got {numbers.shape}"
        )
    return [VectorExample(vector=tuple(vector.tolist()))]


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
