"""Reads the masks of a COCO file, image by image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from schemas.coco import CocoId, CocoMask, load_masks
from schemas.errors import DatasetError
from schemas.masks import ObjectMask

_UNSCORED = 1.0
"""The scores of a mask without any: whoever made the file believes in it."""


@dataclass(frozen=True, slots=True)
class CocoImageMasks:
    """One image of the file; `uri` and `version` only where the file has them. Largest first."""

    file_name: str
    uri: str | None
    version: str | None
    masks: tuple[ObjectMask, ...]


def read_coco(path: Path) -> list[CocoImageMasks]:
    """All images of an instances file, with all their masks; all of it is in memory.

    Raises DatasetError that names the first image or annotation that is wrong.
    """
    document = load_masks(path)
    images = {image.id: image for image in document.images}
    masks: dict[CocoId, list[ObjectMask]] = defaultdict(list)
    for number, annotation in enumerate(document.annotations, start=1):
        mask = _measure(annotation, images[annotation.image_id].size_hw)
        if mask is None:
            raise DatasetError(
                f"{path}, annotation {number} (id {annotation.id!r}): "
                "expected a mask, got one without a pixel"
            )
        masks[annotation.image_id].append(mask)
    return [
        CocoImageMasks(
            file_name=image.file_name,
            uri=image.uri,
            version=image.version,
            masks=tuple(sorted(masks[image.id], key=lambda mask: -mask.area_px)),
        )
        for image in document.images
    ]


def _measure(annotation: CocoMask, size_hw: tuple[int, int]) -> ObjectMask | None:
    iou, stability = annotation.predicted_iou, annotation.stability_score
    return ObjectMask.measure(
        annotation.to_rle(size_hw),
        predicted_iou=_UNSCORED if iou is None else iou,
        stability_score=_UNSCORED if stability is None else stability,
    )
