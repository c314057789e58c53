"""Defines the entries of COCO instances files, and reads masks in each of COCO's forms."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from schemas.boxes import BoxXyxy
from schemas.errors import DatasetError
from schemas.masks import CocoRle, check_size

CocoId = int | str
Number = Annotated[int | float, Field(allow_inf_nan=False)]
Score = Annotated[float, Field(ge=0, le=1.5)]
SHOWN_CHARACTERS = 80
_POLYGON_NUMBERS = 6  # of three points
_POLYGON_REACH = 2  # times the image
# pycocotools takes some 100 bytes for each pixel of an outline, within the image or not.
_LONGEST_OUTLINE_PX = 2**22


class _Coco(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CocoVideo(_Coco):
    """A video, as COCO-VID has them; `uri` is ours."""

    id: CocoId
    name: str
    uri: str | None = None


class CocoImage(_Coco):
    """`uri`, `version` and `generation` are ours.

    A frame of a video has `video_id` and `frame_id`, its place in the video from 0, as in COCO-VID,
    and `time_s` of ours, seconds since the first frame.
    """

    id: CocoId
    file_name: str = Field(min_length=1)
    width: PositiveInt
    height: PositiveInt
    coco_url: str | None = None
    uri: str | None = None
    version: str | None = None
    generation: str | None = None
    video_id: CocoId | None = None
    frame_id: int | None = None
    time_s: float | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        return (self.height, self.width)


class CocoCategory(_Coco):
    """`keywords` is ours: other words that people may search with."""

    id: int
    name: str
    keywords: list[str] = []


class CocoEntry(_Coco):
    """What every annotation has."""

    id: CocoId
    image_id: CocoId


class CocoBox(CocoEntry):
    """The part of an annotation that tells where an object is: [x, y, width, height]."""

    bbox: tuple[Number, Number, Number, Number]

    @property
    def bbox_xyxy(self) -> BoxXyxy:
        x, y, width, height = map(float, self.bbox)
        return (x, y, x + width, y + height)


class CocoShape(_Coco):
    """The part of an annotation that tells which pixels an object has."""

    segmentation: Any

    def to_rle(self, size_hw: tuple[int, int]) -> CocoRle:
        """The mask, from any of COCO's three forms.

        Raises ValueError if it is wrong, or without a pixel.
        """
        rle = self._encode(size_hw)
        if not rle.area_px:
            raise ValueError("expected a mask, got one without a pixel")
        return rle

    def _encode(self, size_hw: tuple[int, int]) -> CocoRle:
        match self.segmentation:
            case {"size": size, "counts": _} if size not in (size_hw, list(size_hw)):
                shown = repr(size)[:SHOWN_CHARACTERS]
                raise ValueError(f"expected a mask of {list(size_hw)}, got one of {shown}")
            case {"size": _, "counts": str() as counts}:
                return CocoRle(size_hw, counts)
            case {"size": _, "counts": list() as counts}:
                return CocoRle.from_runs(size_hw, counts)
            case [list(), *_] as polygons:
                return _rle_of_polygons(polygons, size_hw)
        shown = str(self.segmentation)[:SHOWN_CHARACTERS]
        raise ValueError(f"expected an RLE or polygons, got {shown}")


class CocoMask(CocoShape, CocoEntry):
    """The part of an annotation that an import needs. The two scores are segment-anything's.

    `tags` is ours; where there are none, what CVAT and others call so among `attributes` counts.
    """

    predicted_iou: Score | None = None
    stability_score: Score | None = None
    tags: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _find_tags(cls, entry: Any) -> Any:
        attributes = entry.get("attributes") if isinstance(entry, dict) else None
        if not isinstance(attributes, dict) or entry.get("tags") is not None:
            return entry
        match attributes.get("tags"):
            case str() as tag if tag.strip():
                return {**entry, "tags": [tag]}
            case [*tags]:
                return {**entry, "tags": tags}
        return entry


class CocoAnnotation(CocoMask):
    """`bbox` is [x, y, width, height]; it follows from the mask where a file has none.

    `instance_id` is COCO-VID's: the same for one object in all frames of its video.
    `visible_fraction`, `style`, `score` (of the category) and `object_id` are ours.
    """

    category_id: int
    bbox: tuple[Number, Number, Number, Number] = (0, 0, 0, 0)
    area: Number | None = None
    iscrowd: int | None = 0
    visible_fraction: Number = 1.0
    style: str | None = None
    score: float | None = None
    object_id: str | None = None
    instance_id: int | None = None


@dataclass(frozen=True, slots=True)
class BadAnnotation:
    """An annotation that cannot be used: its place in the file, from 1, its id, and why."""

    number: int
    id: CocoId | None
    reason: str

    def __str__(self) -> str:
        named = "" if self.id is None else f" (id {repr(self.id)[:SHOWN_CHARACTERS]})"
        return f"annotation {self.number}{named}: {self.reason}"


class CocoBoxes(_Coco):
    """Images with boxes."""

    images: Sequence[CocoImage]
    annotations: Sequence[CocoBox]


class CocoMasks(_Coco):
    """Images with masks, whatever these show; `left_out` are a file's annotations that are bad."""

    images: Sequence[CocoImage]
    annotations: Sequence[CocoMask]
    left_out: tuple[BadAnnotation, ...] = Field(default=(), exclude=True)


class CocoTruth(CocoMasks):
    """Images with all objects in them and what each is.

    `void`: pixels of an image that no class was given to, where a file tells.
    """

    annotations: Sequence[CocoAnnotation]
    categories: Sequence[CocoCategory]
    void: Mapping[CocoId, CocoRle] = Field(default={}, exclude=True)


def frame_name(key: str, time_s: float | None) -> str:
    """The `file_name` of an image, or of a frame of a video: its key with a media fragment (W3C).

    >>> frame_name("clips/1.mp4", 1.5), frame_name("1.jpg", None)
    ('clips/1.mp4#t=1.500', '1.jpg')
    """
    return key if time_s is None else f"{key}#t={time_s:.3f}"


_Document = TypeVar("_Document", bound=CocoMasks)


def join_images(document: _Document, identify: Callable[[CocoImage], Hashable]) -> _Document:
    """The document with every image once: entries of one image are joined, the first stands.

    Raises DatasetError that names an image whose entries are of different sizes or versions.
    """
    first: dict[Hashable, CocoImage] = {}
    joined: dict[CocoId, CocoId] = {}
    for image in document.images:
        stands = first.setdefault(identify(image), image)
        joined[image.id] = stands.id
        if (stands.size_hw, stands.version) != (image.size_hw, image.version):
            raise DatasetError(
                f"expected one size and version of {image.file_name!r}, which is there more than "
                f"once, got {_describe(stands)} and {_describe(image)}"
            )
    if len(first) == len(document.images):
        return document
    annotations = [
        annotation.model_copy(update={"image_id": joined[annotation.image_id]})
        for annotation in document.annotations
    ]
    return document.model_copy(update={"images": list(first.values()), "annotations": annotations})


def _describe(image: CocoImage) -> str:
    version = "" if image.version is None else f", version {image.version}"
    return f"{image.width} x {image.height} pixels{version} (id {image.id!r})"


def _rle_of_polygons(polygons: Sequence[Any], size_hw: tuple[int, int]) -> CocoRle:
    check_size(size_hw)
    outline_px = sum(_measure_outline(_parse_polygon(polygon, size_hw)) for polygon in polygons)
    if outline_px > _LONGEST_OUTLINE_PX:
        raise ValueError(
            f"expected an outline of at most {_LONGEST_OUTLINE_PX:,} pixels, "
            f"got one of {outline_px:,.0f}"
        )
    merged = coco.merge(coco.frPyObjects(polygons, *size_hw))
    rle = CocoRle(size_hw, merged["counts"].decode("ascii"))
    rle.runs()
    return rle


def _parse_polygon(polygon: Any, size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The points of a polygon, float64 (n, 2), x and y. Raises ValueError if it is wrong."""
    try:
        numbers = np.asarray(polygon)
    except (ValueError, OverflowError):  # lists of unequal lengths, integers beyond any float
        numbers = np.zeros(0, object)
    if numbers.ndim != 1 or numbers.dtype.kind not in "if":
        raise ValueError(f"expected polygons of numbers, got {str(polygon)[:SHOWN_CHARACTERS]}")
    if len(numbers) < _POLYGON_NUMBERS or len(numbers) % 2:
        raise ValueError(
            f"expected polygons of x and y of three points or more, got {len(numbers)} numbers"
        )
    numbers = numbers.astype(np.float64)
    if not np.isfinite(numbers).all():
        wrong = numbers[~np.isfinite(numbers)][0]
        raise ValueError(f"expected polygons of finite numbers, got the coordinate {wrong}")
    outside = np.abs(numbers) > _POLYGON_REACH * max(size_hw)
    if outside.any():
        raise ValueError(
            f"expected polygons within {size_hw[1]} x {size_hw[0]} pixels, "
            f"got the coordinate {numbers[outside][0]:g}"
        )
    return numbers.reshape(-1, 2)


def _measure_outline(points: npt.NDArray[np.float64]) -> float:
    """The pixels on the way around, as pycocotools counts them: along the longer axis."""
    steps = np.abs(points - np.roll(points, 1, axis=0))
    return float((steps.max(axis=1) + 1).sum())
