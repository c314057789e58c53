"""The payload of a point, as it stands in Qdrant."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.ids import image_id
from schemas.images import StoreName
from schemas.masks import CocoRle
from schemas.records import EmbeddedImage, ImageRecord, ObjectRecord

Kind = Literal["object", "image"]

KEYWORD_FIELDS = (
    "kind", "store", "bucket", "key", "uri", "image_id", "version", "generation", "fingerprint",
    "segmenter", "embedder",
)  # fmt: skip
INTEGER_FIELDS = ("width", "height", "area", "ordinal")
FLOAT_FIELDS = ("area_frac", "predicted_iou", "stability_score")
DATETIME_FIELDS = ("ingested_at",)


class RlePayload(BaseModel):
    """COCO's own layout: size is [height, width]."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    size: tuple[int, int]
    counts: str

    def to_rle(self) -> CocoRle:
        return CocoRle(self.size, self.counts)


class PointPayload(BaseModel):
    """One point. `bbox` is [x0, y0, x1, y1] in pixels, half-open; `area` in pixels.

    For `kind` "image" the box is the image, and `rle`, `predicted_iou`, `stability_score` are
    absent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    ordinal: int
    store: StoreName
    bucket: str
    key: str
    uri: str
    image_id: str
    version: str
    generation: str
    fingerprint: str
    segmenter: str
    embedder: str
    width: int
    height: int
    bbox: tuple[int, int, int, int]
    area: int
    area_frac: float
    predicted_iou: float | None = None
    stability_score: float | None = None
    rle: RlePayload | None = None
    ingested_at: datetime


def payload_of(
    image: EmbeddedImage, record: ObjectRecord | ImageRecord, ordinal: int, ingested_at: datetime
) -> PointPayload:
    """The payload of one record of an image; `ordinal` is `IMAGE_ORDINAL` for the image."""
    ref, (height, width) = image.ref, image.size_hw
    common = {
        "ordinal": ordinal,
        "store": ref.store,
        "bucket": ref.bucket,
        "key": ref.key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        "uri": ref.uri,
        "image_id": str(image_id(ref)),
        "version": ref.version,
        "generation": image.generation.id,
        "fingerprint": image.generation.fingerprint,
        "segmenter": image.segmenter,
        "embedder": image.embedder,
        "width": width,
        "height": height,
        "ingested_at": ingested_at,
    }
    if isinstance(record, ImageRecord):
        shape = {"kind": "image", "bbox": (0, 0, width, height), "area": height * width}
        return PointPayload.model_validate({**common, **shape, "area_frac": 1.0})
    mask = record.mask
    shape = {
        "kind": "object",
        "bbox": mask.bbox_xyxy,
        "area": mask.area_px,
        "area_frac": mask.area_frac,
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability_score,
        "rle": {"size": mask.rle.size_hw, "counts": mask.rle.counts},
    }
    return PointPayload.model_validate({**common, **shape})
