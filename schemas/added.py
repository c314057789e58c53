"""Defines objects that were added by hand: what is recorded of them beside the manifest's rows."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from schemas.ids import added_object_id
from schemas.masks import CocoRle, ObjectMask

ADDED_SCHEMA = pa.schema(
    [
        pa.field("object_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("counts", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("removed", pa.bool_(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
SURE_SCORE = 1.0
"""The `segmenter_score` of a label that a person gave."""


@dataclass(frozen=True, slots=True)
class AddedObject:
    """An object that was added to an image in one version, or its removal.

    The mask is `rle`, of the whole image; `label` is what the user calls it.
    """

    object_id: str
    image_id: str
    uri: str
    version: str
    rle: CocoRle
    label: str | None
    at: datetime
    removed: bool = False

    @classmethod
    def of(
        cls, image: uuid.UUID, uri: str, version: str, rle: CocoRle, label: str | None, at: datetime
    ) -> AddedObject:
        """An object that is added now; its id follows from image, version and mask."""
        identity = added_object_id(image, version, rle.counts)
        return cls(str(identity), str(image), uri, version, rle, label, at)

    def to_mask(self) -> ObjectMask:
        """The mask with box and area. Raises ValueError for one that is empty or no RLE."""
        score = None if self.label is None else SURE_SCORE
        mask = ObjectMask.measure(self.rle, segmenter_label=self.label, segmenter_score=score)
        if mask is None:
            raise ValueError("expected a mask with pixels, got an empty one")
        return mask
