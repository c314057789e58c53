"""The payload of a point, as it stands in Qdrant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.ids import IMAGE_ORDINAL, image_id
from schemas.images import StoreName
from schemas.labels import Label
from schemas.masks import CocoRle
from schemas.records import EmbeddedImage, ImageRecord, ObjectRecord

Kind = Literal["object", "image"]

KEYWORD_FIELDS = (
    "kind", "store", "bucket", "key", "uri", "image_id", "version", "generation", "fingerprint",
    "segmenter", "embedder", "labels", "labelled_by",
)  # fmt: skip
INTEGER_FIELDS = ("width", "height", "area", "ordinal")
FLOAT_FIELDS = (
    "area_frac", "predicted_iou", "stability_score", "center_x_frac", "center_y_frac",
)  # fmt: skip
DATETIME_FIELDS = ("ingested_at", "run_started_at")
# Of the run, or made from what else is there, or given anew at any time.
_NOT_DIGESTED = {
    "ingested_at", "run_started_at", "labels", "label_scores", "label_logsumexp", "labelled_by",
    "center_x_frac", "center_y_frac",
}  # fmt: skip
_IMAGE_LABELS = 20  # of its objects, on the point of the image
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
    absent. `labels` are what it may be called, surest first, with their probabilities; those of an
    image are its objects'. `label_logsumexp` is `Naming.logsumexp`. `center_x_frac` and
    `center_y_frac` are where the middle of the box is, as shares of width and height. Points of
    older indexes lack these, and `run_started_at`.
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
    labels: tuple[str, ...] | None = None
    label_scores: tuple[float, ...] | None = None
    label_logsumexp: float | None = None
    labelled_by: str | None = None
    center_x_frac: float | None = None
    center_y_frac: float | None = None
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
        "generation": image.revision.id,
        "fingerprint": image.revision.fingerprint,
        "segmenter": image.segmenter,
        "embedder": image.embedder,
        "width": width,
        "height": height,
        "ingested_at": ingested_at,
        "run_started_at": run_started_at,
    }
    named: dict[str, object] = {}
    if image.labelled_by is not None:
        labels = labels_of(image, record)
        named = {
            "labels": tuple(label.name for label in labels),
            "label_scores": tuple(label.score for label in labels),
            "labelled_by": image.labelled_by,
        }
    if isinstance(record, ImageRecord):
        shape = {"kind": "image", "bbox": (0, 0, width, height), "area": height * width}
        middle = {"center_x_frac": 0.5, "center_y_frac": 0.5}
        return PointPayload.model_validate({**common, **named, **shape, **middle, "area_frac": 1.0})
    mask = record.mask
    x0, y0, x1, y1 = mask.bbox_xyxy
    shape = {
        "kind": "object",
        "bbox": mask.bbox_xyxy,
        "area": mask.area_px,
        "area_frac": mask.area_frac,
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability_score,
        "rle": {"size": mask.rle.size_hw, "counts": mask.rle.counts},
        "center_x_frac": round((x0 + x1) / 2 / width, _DECIMALS),
        "center_y_frac": round((y0 + y1) / 2 / height, _DECIMALS),
        "label_logsumexp": record.naming.logsumexp if record.naming else None,
    }
    return PointPayload.model_validate({**common, **named, **shape})


def labels_of(image: EmbeddedImage, record: ObjectRecord | ImageRecord) -> tuple[Label, ...]:
    """A record's labels, surest first; those of the image are its objects'."""
    if isinstance(record, ObjectRecord):
        return record.naming.labels if record.naming else ()
    return best_labels(label for one in image.objects for label in labels_of(image, one))


def best_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Of an image's objects' labels each where it is surest, surest first, and no more than 20."""
    best: dict[str, Label] = {}
    for label in labels:
        if label.name not in best or best[label.name].score < label.score:
            best[label.name] = label
    return tuple(sorted(best.values(), key=lambda one: (-one.score, one.name))[:_IMAGE_LABELS])


def digest(point_id: str, payload: PointPayload) -> int:
    """128 bits over a point's id and payload, but for when it was written, and by which run."""
    # Indexes read numbers from JSON to the last bit but one.
    rounded = {
        name: round(value, _DECIMALS)
        for name in FLOAT_FIELDS
        if name not in _NOT_DIGESTED and (value := getattr(payload, name)) is not None
    }
    text = point_id + payload.model_copy(update=rounded).model_dump_json(exclude=_NOT_DIGESTED)
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
