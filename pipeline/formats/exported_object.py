"""Describes objects and images of an index as files of other programs have them."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.labels import UNLABELLED
from schemas.masks import CocoRle
from schemas.payload import PointPayload


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image, or in an index with several generations the image as one of them has it."""

    image_id: str
    generation: str
    uri: str
    key: str
    size_hw: tuple[int, int]

    @classmethod
    def of(cls, payload: PointPayload) -> ExportedImage:
        """The image that a point is of."""
        size_hw = (payload.height, payload.width)
        return cls(payload.image_id, payload.generation, payload.uri, payload.key, size_hw)


@dataclass(frozen=True, slots=True)
class ExportedObject:
    """An object of an image with its surest label; `score` is that label's, if it has one."""

    object_id: str
    image: ExportedImage
    label: str
    score: float | None
    rle: CocoRle
    bbox_xyxy: tuple[int, int, int, int]

    @classmethod
    def of(cls, object_id: str, payload: PointPayload) -> ExportedObject:
        """The object of a point that has a mask. Raises ValueError unless this fits its image."""
        if payload.rle is None:
            raise ValueError("rle: expected a mask, got none")
        payload.check_shape()
        return cls(
            object_id,
            ExportedImage.of(payload),
            payload.labels[0] if payload.labels else UNLABELLED,
            payload.label_scores[0] if payload.label_scores else None,
            payload.rle.to_rle(),
            payload.bbox,
        )
