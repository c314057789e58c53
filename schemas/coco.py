"""Reads and checks COCO instances files, and describes their entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pycocotools import mask as coco
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from schemas.errors import DatasetError
from schemas.masks import CocoRle

CocoId = int | str
_SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category"}
_SHOWN_CHARACTERS = 80
_POLYGON_NUMBERS = 6  # of three points
_POLYGON_REACH = 2  # times the image: pycocotools takes memory in proportion to an outline's length


class _Coco(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CocoImage(_Coco):
    """`uri`, `version` and `generation` are ours."""

    id: CocoId
    file_name: str
    width: PositiveInt
    height: PositiveInt
    coco_url: str | None = None
    uri: str | None = None
    version: str | None = None
    generation: str | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        return (self.height, self.width)


class CocoCategory(_Coco):
    """`keywords` is ours: other words that people may search with."""

    id: int
    name: str
    keywords: list[str] = []


class CocoMask(_Coco):
    """The part of an annotation that an import needs. The two scores are segment-anything's."""

    id: CocoId
    image_id: CocoId
    segmentation: Any
    predicted_iou: float | None = Field(default=None, ge=0, le=1.5)
    stability_score: float | None = Field(default=None, ge=0, le=1.5)

    def to_rle(self, size_hw: tuple[int, int]) -> CocoRle:
        """The mask, from any of COCO's three forms. Raises ValueError if it is wrong."""
        match self.segmentation:
            case {"size": size, "counts": _} if size not in (size_hw, list(size_hw)):
                raise ValueError(f"expected a mask of {list(size_hw)}, got one of {size!r}")
            case {"size": _, "counts": str() as counts}:
                return _check_rle(CocoRle(size_hw, counts))
            case {"size": _, "counts": list() as counts}:
                return CocoRle.from_runs(size_hw, counts)
            case [list(), *_] as polygons:
                return _rle_of_polygons(polygons, size_hw)
        shown = str(self.segmentation)[:_SHOWN_CHARACTERS]
        raise ValueError(f"expected an RLE or polygons, got {shown}")


class CocoAnnotation(CocoMask):
    """`bbox` is [x, y, width, height].

    `visible_fraction`, `style`, `score` (of the category) and `object_id` are ours.
    """

    category_id: int
    bbox: tuple[int | float, int | float, int | float, int | float]
    area: int | float
    iscrowd: int = 0
    visible_fraction: float = 1.0
    style: str | None = None
    score: float | None = None
    object_id: str | None = None


class CocoMasks(_Coco):
    """Images with masks, whatever these show."""

    images: Sequence[CocoImage]
    annotations: Sequence[CocoMask]


class CocoTruth(CocoMasks):
    """Images with all objects in them and what each is."""

    annotations: Sequence[CocoAnnotation]
    categories: Sequence[CocoCategory]


def load_masks(path: Path) -> CocoMasks:
    """Read the masks of a COCO instances file; all of it is in memory.

    All masks that it returns are compressed RLEs of their images' sizes. Raises DatasetError that
    names the first image or annotation that is wrong.
    """
    return _load(path, CocoMasks)


def load_truth(path: Path) -> CocoTruth:
    """Read a COCO instances file with categories and boxes, as `load_masks` does."""
    truth = _load(path, CocoTruth)
    categories = {category.id for category in truth.categories}
    for number, annotation in enumerate(truth.annotations, start=1):
        if annotation.category_id not in categories:
            where = _locate(path, number, annotation)
            raise DatasetError(
                f"{where}: expected the id of a category, got {annotation.category_id}"
            )
    return truth


_Loaded = TypeVar("_Loaded", bound=CocoMasks)


def _load(path: Path, kind: type[_Loaded]) -> _Loaded:
    try:
        loaded = kind.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise DatasetError(
            f"expected a COCO file at {path}, it cannot be read: {exc.strerror}"
        ) from exc
    except ValidationError as exc:
        raise DatasetError(_describe(exc, path)) from exc
    _check_ids(loaded.images, f"{path}, image")
    _check_ids(loaded.annotations, f"{path}, annotation")
    images = {image.id: image for image in loaded.images}
    annotations = []
    for number, annotation in enumerate(loaded.annotations, start=1):
        where = _locate(path, number, annotation)
        if annotation.image_id not in images:
            raise DatasetError(f"{where}: expected the id of an image, got {annotation.image_id!r}")
        try:
            rle = annotation.to_rle(images[annotation.image_id].size_hw)
        except ValueError as exc:
            raise DatasetError(f"{where}: {exc}") from exc
        compressed = {"size": list(rle.size_hw), "counts": rle.counts}
        annotations.append(annotation.model_copy(update={"segmentation": compressed}))
    return loaded.model_copy(update={"annotations": annotations})


def _locate(path: Path, number: int, annotation: CocoMask) -> str:
    return f"{path}, annotation {number} (id {annotation.id!r})"


def _check_ids(entries: Iterable[CocoImage | CocoMask], where: str) -> None:
    seen: set[CocoId] = set()
    for number, entry in enumerate(entries, start=1):
        if entry.id in seen:
            raise DatasetError(
                f"{where} {number}: expected every id once, {entry.id!r} is there twice"
            )
        seen.add(entry.id)


def _describe(exc: ValidationError, path: Path) -> str:
    """One sentence on the first mistake."""
    error = exc.errors(include_url=False)[0]
    message = error["msg"].removeprefix("Input should be ")
    if error["type"] == "json_invalid":
        return f"expected a COCO file, {path} is no JSON: {message}"
    match error["loc"]:
        case ():
            return f"expected a COCO file, {path} holds no object"
        case (str() as entries,):
            return f"expected a COCO file, {path} has no list of {entries}"
        case (str() as entries, int() as row, *rest):
            where = f"{path}, {_SINGULAR[entries]} {row + 1}"
            name = str(rest[0]) if rest else "it"
            if error["type"] == "missing":
                return f"{where}: expected {name}, there is none"
            got = repr(error["input"])[:_SHOWN_CHARACTERS]
            return f"{where}: expected {name} to be {message}, got {got}"
    return f"expected a COCO file, {path} is none: {error['msg']}"


def _check_rle(rle: CocoRle) -> CocoRle:
    rle.runs()
    return rle


def _rle_of_polygons(polygons: Sequence[Any], size_hw: tuple[int, int]) -> CocoRle:
    for polygon in polygons:
        numbers = np.asarray(polygon)
        if not (numbers.ndim == 1 and numbers.dtype.kind in "if"):
            raise ValueError(f"expected polygons, got {str(polygon)[:_SHOWN_CHARACTERS]}")
        if len(numbers) < _POLYGON_NUMBERS or len(numbers) % 2:
            raise ValueError(
                f"expected polygons of x and y of three points or more, got {len(numbers)} numbers"
            )
        if not (np.abs(numbers) <= _POLYGON_REACH * max(size_hw)).all():
            raise ValueError(f"expected polygons within {size_hw[1]} x {size_hw[0]} pixels")
    merged = coco.merge(coco.frPyObjects(polygons, *size_hw))
    return _check_rle(CocoRle(size_hw, merged["counts"].decode("ascii")))
