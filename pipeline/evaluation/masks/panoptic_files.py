"""Reads COCO panoptic files, whose pixels are in PNGs beside them, as instances with void."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ValidationError

from schemas.coco import CocoId, CocoImage
from schemas.coco_reader import describe_entry, list_entries, read_entries
from schemas.errors import DatasetError
from schemas.masks import CocoRle

Ids = npt.NDArray[np.uint32]
VOID = 0
"""The id of pixels that no class was given to."""


class _Segment(BaseModel):
    id: int
    category_id: int
    iscrowd: int = 0


class _Annotation(BaseModel):
    image_id: CocoId
    file_name: str
    segments_info: list[_Segment]


@dataclass(frozen=True, slots=True)
class PanopticDocument:
    """A panoptic file as an instances document, and what of each image is void."""

    document: dict[str, Any]
    void: dict[CocoId, CocoRle] = field(default_factory=dict)


def is_panoptic(document: Any) -> bool:
    """Whether a file's annotations are of whole images."""
    match document:
        case {"annotations": [{"segments_info": _}, *_]}:
            return True
    return False


def read_panoptic(document: dict[str, Any], path: Path) -> PanopticDocument:
    """Turn segments into annotations with masks, each of the pixels with its id.

    The PNGs lie in the folder named as the file without its ending, an id being R + 256 G + 256^2 B
    of a pixel (A. Kirillov et al., "Panoptic segmentation", 2019, and panopticapi). An image
    without an annotation is all void. Raises DatasetError for an entry or PNG that is wrong.
    """
    # Those that no annotation has been read of.
    images = {image.id: image for image in read_entries(document, "images", CocoImage, path)}
    void: dict[CocoId, CocoRle] = {}
    annotations: list[dict[str, Any]] = []
    for number, entry in enumerate(list_entries(document, "annotations", path), start=1):
        try:
            annotation = _Annotation.model_validate(entry)
        except ValidationError as exc:
            raise DatasetError(f"{path}, annotation {number}: {describe_entry(exc)}") from exc
        image = images.pop(annotation.image_id, None)
        if image is None:
            raise DatasetError(
                f"{path}, annotation {number}: expected the id of an image, each once, "
                f"got {annotation.image_id!r}"
            )
        picture = path.with_suffix("") / annotation.file_name
        ids = _read_ids(picture, image.size_hw)
        annotations += _describe_segments(annotation, ids, picture, len(annotations))
        nothing = ids == VOID
        if nothing.any():
            void[image.id] = CocoRle.from_mask(nothing)
    void |= {number: _fill(image.size_hw) for number, image in images.items()}
    return PanopticDocument({**document, "annotations": annotations}, void)


def _fill(size_hw: tuple[int, int]) -> CocoRle:
    return CocoRle.from_runs(size_hw, [0, size_hw[0] * size_hw[1]])


def _describe_segments(
    annotation: _Annotation, ids: Ids, picture: Path, before: int
) -> Iterator[dict[str, Any]]:
    listed = {segment.id for segment in annotation.segments_info}
    unlisted = set(np.unique(ids).tolist()) - listed - {VOID}
    if unlisted:
        raise DatasetError(
            f"expected {picture} to hold the segments listed of it, {min(unlisted)} is none of them"
        )
    for number, segment in enumerate(annotation.segments_info, start=before + 1):
        rle = CocoRle.from_mask(ids == segment.id)
        yield {
            "id": number, "image_id": annotation.image_id, "category_id": segment.category_id,
            "iscrowd": segment.iscrowd,
            "segmentation": {"size": list(rle.size_hw), "counts": rle.counts},
        }  # fmt: skip


def _read_ids(path: Path, size_hw: tuple[int, int]) -> Ids:
    """The id of each pixel, uint32 (height, width)."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if (picture.height, picture.width) != size_hw:
                raise DatasetError(
                    f"expected {path} to be {size_hw[1]} x {size_hw[0]} pixels as its image, it is "
                    f"{picture.width} x {picture.height}"
                )
            pixels = np.asarray(picture.convert("RGB"), np.uint32)
    except UnidentifiedImageError as exc:
        raise DatasetError(f"expected a PNG of segments at {path}, it is none") from exc
    except (OSError, SyntaxError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise DatasetError(f"expected a PNG of segments at {path}: {why}") from exc
    ids: Ids = pixels[..., 0] + 256 * pixels[..., 1] + 256**2 * pixels[..., 2]
    return ids
