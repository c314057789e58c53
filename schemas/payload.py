"""The payload of a point, as it stands in Qdrant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.ids import IMAGE_ORDINAL, image_id
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
DATETIME_FIELDS = ("ingested_at", "run_started_at")
_OF_THE_RUN = {"ingested_at", "run_started_at"}
_DIGEST_BYTES = 16
_DECIMALS = 6
_NEVER = datetime.fromtimestamp(0, UTC)


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
    absent. Points of older indexes have no `run_started_at`.
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
    run_started_at: datetime | None = None


def payload_of(
    image: EmbeddedImage,
    record: ObjectRecord | ImageRecord,
    ordinal: int,
    ingested_at: datetime,
    run_started_at: datetime | None = None,
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
        "run_started_at": run_started_at,
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


def digest(point_id: str, payload: PointPayload) -> int:
    """128 bits over a point's id and payload, but for when it was written, and by which run."""
    # Indexes read numbers from JSON to the last bit but one.
    rounded = {
        name: round(value, _DECIMALS)
        for name in FLOAT_FIELDS
        if (value := getattr(payload, name)) is not None
    }
    text = point_id + payload.model_copy(update=rounded).model_dump_json(exclude=_OF_THE_RUN)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest())


def checksum(digests: Iterable[int]) -> str:
    """32 hex digits over the digests of an image's points, in whatever order they come."""
    return f"{sum(digests) % 2 ** (8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"


def checksum_of(image: EmbeddedImage) -> str:
    """The checksum of the points that an image brings into an index."""
    records: list[tuple[int, ObjectRecord | ImageRecord]] = [
        (IMAGE_ORDINAL, image.whole),
        *enumerate(image.objects),
    ]
    return checksum(
        digest(str(record.object_id), payload_of(image, record, ordinal, _NEVER))
        for ordinal, record in records
    )
