"""Reads what was found in images from COCO files: lists of results, and instances files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.coco import (
    BadAnnotation,
    CocoCategory,
    CocoId,
    CocoImage,
    CocoShape,
    Number,
)
from schemas.coco_reader import (
    describe_entry,
    find_id,
    list_entries,
    read_entries,
    read_json,
    refuse_bad,
    show,
)
from schemas.errors import DatasetError
from schemas.masks import CocoRle

_UNSCORED = 1.0
"""The score of a mask without any: whoever made the file is sure of it."""


class _Result(CocoShape):
    image_id: CocoId
    category_id: int
    score: Number = _UNSCORED


@dataclass(frozen=True, slots=True)
class CocoResult:
    """A found mask, the ids of its image and class, and how sure it is."""

    image_id: CocoId
    category_id: int
    rle: CocoRle
    score: float


@dataclass(frozen=True, slots=True)
class CocoResults:
    """What a file says was found; `images` and `categories` are None in a list of results."""

    found: Sequence[CocoResult]
    images: Sequence[CocoImage] | None
    categories: Sequence[CocoCategory] | None
    left_out: tuple[BadAnnotation, ...]


def load_results(path: Path, images: Sequence[CocoImage], *, strict: bool = False) -> CocoResults:
    """Read a list of results in `images`, or an instances file, which has its own images.

    Entries that are wrong are left out, and listed. Raises DatasetError for a file that is neither,
    and for a wrong entry if there is no good one, or if `strict`.
    """
    return parse_results(read_json(path), path, images, strict=strict)


def parse_results(
    document: Any, path: Path, images: Sequence[CocoImage], *, strict: bool = False
) -> CocoResults:
    """What `load_results` makes of what a file holds."""
    own: Sequence[CocoImage] | None = None
    categories = None
    if isinstance(document, dict):
        own = read_entries(document, "images", CocoImage, path)
        categories = read_entries(document, "categories", CocoCategory, path)
        entries = list_entries(document, "annotations", path)
    elif isinstance(document, list):
        entries = document
    else:
        raise DatasetError(
            f"expected a list of results or a COCO instances file, {path} holds neither"
        )
    sizes = {image.id: image.size_hw for image in (images if own is None else own)}
    found, bad = [], []
    for number, entry in enumerate(entries, start=1):
        try:
            found.append(_read(entry, sizes))
        except ValueError as exc:
            bad.append(BadAnnotation(number, find_id(entry), str(exc)))
    if bad and (strict or not found):
        refuse_bad(bad, path)
    return CocoResults(found, own, categories, tuple(bad))


def _read(entry: Any, sizes: Mapping[CocoId, tuple[int, int]]) -> CocoResult:
    """Raises ValueError for an entry that is wrong."""
    try:
        result = _Result.model_validate(entry)
    except ValidationError as exc:
        raise ValueError(describe_entry(exc)) from exc
    if result.image_id not in sizes:
        raise ValueError(f"expected the id of an image, got {show(result.image_id)}")
    rle = result.to_rle(sizes[result.image_id])
    return CocoResult(result.image_id, result.category_id, rle, float(result.score))
