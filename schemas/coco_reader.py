"""Reads COCO instances files: what is good of them, and what is wrong with the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import ValidationError

from schemas.boxes import clip_box
from schemas.coco import (
    SHOWN_CHARACTERS,
    BadAnnotation,
    CocoAnnotation,
    CocoBox,
    CocoBoxes,
    CocoCategory,
    CocoEntry,
    CocoId,
    CocoImage,
    CocoMask,
    CocoMasks,
    CocoTruth,
)
from schemas.errors import DatasetError, UsageError
from schemas.tags import TagChange

_SINGULAR = {"images": "image", "categories": "category"}
_Entry = TypeVar("_Entry", CocoImage, CocoCategory)
_Annotation = TypeVar("_Annotation", bound=CocoEntry)
_Mask = TypeVar("_Mask", bound=CocoMask)


def load_masks(path: Path, *, strict: bool = False) -> CocoMasks:
    """Read the masks of a COCO instances file; all of it is in memory.

    All masks that it returns are compressed RLEs of their images' sizes, with a pixel or more.
    Annotations that are wrong are left out, and listed. Raises DatasetError for a file that is no
    COCO file and for an image that is wrong; for a wrong annotation only if there is no good one,
    or if `strict`.
    """
    document = _read_document(path)
    images = read_entries(document, "images", CocoImage, path)
    reading = _TaggedReading(images, CocoMask)
    reading.take_all(document, path, strict=strict)
    return CocoMasks.model_construct(
        images=images, annotations=reading.good, left_out=tuple(reading.bad)
    )


def load_boxes(path: Path) -> CocoBoxes:
    """Read the boxes of a COCO instances file; masks and categories may be missing.

    Raises DatasetError for a file that is no COCO file, and for the first image or box that is
    wrong: not of finite numbers, empty, or outside of its image, which it may stick out of.
    """
    document = _read_document(path)
    images = read_entries(document, "images", CocoImage, path)
    reading = _BoxReading(images, CocoBox)
    reading.take_all(document, path, strict=True)
    return CocoBoxes.model_construct(images=images, annotations=reading.good)


def load_truth(path: Path, *, strict: bool = False) -> CocoTruth:
    """Read a COCO instances file with categories and boxes, as `load_masks` does."""
    return parse_truth(read_json(path), path, strict=strict)


def parse_truth(content: Any, path: Path, *, strict: bool = False) -> CocoTruth:
    """What `load_truth` makes of what a file holds."""
    document = _check_document(content, path)
    images = read_entries(document, "images", CocoImage, path)
    categories = read_entries(document, "categories", CocoCategory, path)
    reading = _TruthReading(images, {category.id for category in categories})
    reading.take_all(document, path, strict=strict)
    return CocoTruth.model_construct(
        images=images,
        annotations=reading.good,
        categories=categories,
        left_out=tuple(reading.bad),
    )


class _Reading(Generic[_Annotation]):
    """Sorts the annotations of a file into good and bad ones."""

    def __init__(self, images: Sequence[CocoImage], kind: type[_Annotation]) -> None:
        self._images = {image.id: image for image in images}
        self._kind = kind
        self._ids: set[CocoId] = set()
        self.good: list[_Annotation] = []
        self.bad: list[BadAnnotation] = []

    def take_all(self, document: Mapping[str, Any], path: Path, *, strict: bool) -> None:
        """Raises DatasetError that names the first bad annotation, as `load_masks` does."""
        for number, entry in enumerate(list_entries(document, "annotations", path), start=1):
            try:
                self.good.append(self._read(entry))
            except ValueError as exc:
                self.bad.append(BadAnnotation(number, find_id(entry), str(exc)))
        if self.bad and (strict or not self.good):
            refuse_bad(self.bad, path)

    def _read(self, entry: Any) -> _Annotation:
        """The annotation. Raises ValueError for one that is wrong."""
        try:
            annotation = self._kind.model_validate(entry)
        except ValidationError as exc:
            raise ValueError(describe_entry(exc)) from exc
        if annotation.image_id not in self._images:
            raise ValueError(f"expected the id of an image, got {show(annotation.image_id)}")
        if annotation.id in self._ids:
            raise ValueError(f"expected every id once, {show(annotation.id)} is there twice")
        annotation = self._check(annotation, self._images[annotation.image_id].size_hw)
        self._ids.add(annotation.id)
        return annotation

    def _check(self, annotation: _Annotation, size_hw: tuple[int, int]) -> _Annotation:
        """The annotation of an image of this size. Raises ValueError where it does not fit."""
        return annotation


class _BoxReading(_Reading[CocoBox]):
    def _check(self, annotation: CocoBox, size_hw: tuple[int, int]) -> CocoBox:
        try:
            clip_box(annotation.bbox_xyxy, size_hw)
        except DatasetError as exc:
            raise ValueError(str(exc)) from exc
        return annotation


class _MaskReading(_Reading[_Mask]):
    def _check(self, annotation: _Mask, size_hw: tuple[int, int]) -> _Mask:
        """With its mask compressed."""
        rle = annotation.to_rle(size_hw)
        compressed = {"size": list(rle.size_hw), "counts": rle.counts}
        return annotation.model_copy(update={"segmentation": compressed})


class _TaggedReading(_MaskReading[CocoMask]):
    def _check(self, annotation: CocoMask, size_hw: tuple[int, int]) -> CocoMask:
        """With its tags as they are kept."""
        annotation = super()._check(annotation, size_hw)
        if not annotation.tags:
            return annotation
        try:
            tags = TagChange.parse(annotation.tags, ()).apply(())
        except UsageError as exc:
            raise ValueError(str(exc)) from exc
        return annotation.model_copy(update={"tags": [*tags]})


class _TruthReading(_MaskReading[CocoAnnotation]):
    def __init__(self, images: Sequence[CocoImage], categories: Set[int]) -> None:
        super().__init__(images, CocoAnnotation)
        self._categories = categories

    def _read(self, entry: Any) -> CocoAnnotation:
        annotation = super()._read(entry)
        if annotation.category_id not in self._categories:
            raise ValueError(f"expected the id of a category, got {annotation.category_id}")
        if "bbox" in annotation.model_fields_set:
            return annotation
        size_hw = self._images[annotation.image_id].size_hw
        x0, y0, x1, y1 = annotation.to_rle(size_hw).bbox_xyxy
        return annotation.model_copy(update={"bbox": (x0, y0, x1 - x0, y1 - y0)})


def refuse_bad(bad: Sequence[BadAnnotation], path: Path) -> NoReturn:
    """Raise DatasetError that names the first of annotations that are wrong, and their number."""
    more = f" ({len(bad):,} annotations are wrong)" if len(bad) > 1 else ""
    raise DatasetError(f"{path}, {bad[0]}{more}")


def _read_document(path: Path) -> Mapping[str, Any]:
    return _check_document(read_json(path), path)


def _check_document(content: Any, path: Path) -> Mapping[str, Any]:
    if isinstance(content, dict):
        return content
    raise DatasetError(f"expected a COCO file, {path} holds no object")


def read_json(path: Path) -> Any:
    """What a COCO file holds. Raises DatasetError where it cannot be read or is no JSON."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise DatasetError(
            f"expected a COCO file at {path}, it cannot be read: {exc.strerror}"
        ) from exc
    try:
        return json.loads(content)
    except json.JSONDecodeError as exc:
        why = f"{exc.msg} at line {exc.lineno}, column {exc.colno}"
    except UnicodeDecodeError:
        why = "it is no text in UTF-8, UTF-16 or UTF-32"
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError:  # of the integers that Python refuses to read
        why = "it has a number of thousands of digits"
    raise DatasetError(f"expected a COCO file, {path} is no JSON: {why}")


def list_entries(document: Mapping[str, Any], entries: str, path: Path) -> list[Any]:
    listed = document.get(entries)
    if not isinstance(listed, list):
        raise DatasetError(f"expected a COCO file, {path} has no list of {entries}")
    return listed


def read_entries(
    document: Mapping[str, Any], entries: str, kind: type[_Entry], path: Path
) -> list[_Entry]:
    """All images or categories. Raises DatasetError that names the first wrong one."""
    read: dict[CocoId, _Entry] = {}
    for number, entry in enumerate(list_entries(document, entries, path), start=1):
        where = f"{path}, {_SINGULAR[entries]} {number}"
        try:
            valid = kind.model_validate(entry)
        except ValidationError as exc:
            raise DatasetError(f"{where}: {describe_entry(exc)}") from exc
        if valid.id in read:
            raise DatasetError(f"{where}: expected every id once, {show(valid.id)} is there twice")
        read[valid.id] = valid
    return list(read.values())


def describe_entry(exc: ValidationError) -> str:
    """What is wrong first with an entry."""
    error = exc.errors(include_url=False)[0]
    name = str(error["loc"][0]) if error["loc"] else "an object"
    if error["type"] == "missing":
        return f"expected {name}, there is none"
    if not error["loc"]:
        return f"expected an object, got {show(error['input'])}"
    message = error["msg"]
    if message.startswith("Input should be "):
        message = message.removeprefix("Input should be ")
        return f"expected {name} to be {message}, got {show(error['input'])}"
    return f"{name}: {message[0].lower()}{message[1:]}, got {show(error['input'])}"


def find_id(entry: Any) -> CocoId | None:
    identity = entry.get("id") if isinstance(entry, dict) else None
    return identity if isinstance(identity, int | str) else None


def show(value: Any) -> str:
    return repr(value)[:SHOWN_CHARACTERS]
