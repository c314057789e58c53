"""Builds the payload of a point as an index stores it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from schemas.errors import VectorIndexError
from schemas.ids import ADDED_ORDINAL, image_id
from schemas.images import StoreName
from schemas.labels import Label
from schemas.masks import BoolMask, CocoRle, measure_area
from schemas.nesting import Level
from schemas.records import EmbeddedImage, ImageRecord, ObjectRecord
from schemas.thumbnails import THUMBNAIL, thumbnail_check

Kind = Literal["object", "image"]
OwnValue = int | float | str | list[str]
"""What a field of the user's own holds; of truths the texts true and false."""
OwnKind = Literal["text", "number"]
"""What the values of a field of the user's own are; a list of texts is text."""
OWN = "own"
"""The field with those of the user's own, which filters name `own.NAME`."""

KEYWORD_FIELDS = (
    "kind", "store", "bucket", "key", "uri", "image_id", "version", "generation", "fingerprint",
    "segmenter", "embedder", "labels", "labelled_by", "segmenter_label", "level", "parent_id",
    "tags",
)  # fmt: skip
INTEGER_FIELDS = ("width", "height", "area", "ordinal", "frames", "shot")
TIME_FIELDS = ("t_start", "t_end", "t_key", "duration", "video_duration")
"""Seconds, of what is in a video."""
FLOAT_FIELDS = (
    "area_frac", "predicted_iou", "stability_score", "segmenter_score", "center_x_frac",
    "center_y_frac", "mean_area_frac", "motion", *TIME_FIELDS,
)  # fmt: skip
DATETIME_FIELDS = ("ingested_at", "run_started_at")
FIRST_LABEL, FIRST_LABEL_SCORE = "labels[0]", "label_scores[0]"
"""What is counted of most objects: labels are sorted, and two are seldom likely."""
MOST_LABELS = 20
"""Of a point: of an object by the settings, of an image those of its objects."""
_DECIMALS = 6
_SHOWN_CHARACTERS = 80


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
    absent. An object that was imported may have a box alone: its `area` is the box's then. Where
    the size of an image is not known, `width` and `height` are 0, so is the whole image's box, and
    objects have no `area_frac` and no centre. `own` is what the user has of a point, by name.
    `predicted_iou` and `stability_score` are segment-anything's, `segmenter_label` and
    `segmenter_score` those of segmenters that know classes. `level` says whether the object is a
    part of another of its image, `parent_id`. `labels` are the likeliest first, with their
    probabilities; those of an image are its objects'. `tags` are what people call a point, absent
    where nobody does. `label_logsumexp` is `Naming.logsumexp`.
    `center_x_frac` and `center_y_frac` are the centre of the box as fractions of width and height.
    Points of older indexes lack these, the level and `run_started_at`. `added`, if it is there, is
    true: the object was added by hand, its `ordinal` is `ADDED_ORDINAL`, and `segmenter_label` is
    what the user calls it. `generation` is `ImageRevision.id`. `thumbnail` is that of the part
    `thumbnail_box` of the image, WebP in base64, and `thumbnail_check` is its `thumbnail_check`;
    searches leave the bytes out. All three are absent where none is kept.

    What is in a video has times, in seconds since its first frame: `t_start` and `t_end` are the
    first and the last of the `frames` that were looked at in which it is, `t_key` the one that box
    and mask are of; `duration` is the time between, `video_duration` that of all. An object has
    `mean_area_frac` and `motion` (see `TimeSpan`). For `kind` "image" it is a shot, of which `shot`
    is the number, from 0.
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
    area_frac: float | None = None
    predicted_iou: float | None = None
    stability_score: float | None = None
    segmenter_label: str | None = None
    segmenter_score: float | None = None
    level: Level | None = None
    parent_id: str | None = None
    added: Literal[True] | None = None
    rle: RlePayload | None = None
    labels: tuple[str, ...] | None = None
    label_scores: tuple[float, ...] | None = None
    label_logsumexp: float | None = None
    labelled_by: str | None = None
    tags: tuple[str, ...] | None = None
    center_x_frac: float | None = None
    center_y_frac: float | None = None
    t_start: float | None = None
    t_end: float | None = None
    t_key: float | None = None
    duration: float | None = None
    video_duration: float | None = None
    frames: int | None = None
    shot: int | None = None
    mean_area_frac: float | None = None
    motion: float | None = None
    ingested_at: datetime
    run_started_at: datetime | None = None
    own: dict[str, OwnValue] | None = None
    thumbnail: str | None = None
    thumbnail_box: tuple[int, int, int, int] | None = None
    thumbnail_check: str | None = None

    def check_shape(self) -> None:
        """Raise ValueError unless box, area and mask fit each other and the image."""
        if not self.has_sound_box():
            raise ValueError(
                f"bbox: {self.bbox} does not lie in {self.width} x {self.height} pixels"
            )
        if self.kind == "image":
            if self.rle is not None:
                raise ValueError("rle: expected none for an image as a whole")
            return
        if self.rle is None:
            if self._is_box_alone():
                return
            raise ValueError("rle: expected a mask, got none")
        if self.rle.size != (self.height, self.width):
            raise ValueError(
                f"rle.size: expected {[self.height, self.width]}, got {list(self.rle.size)}"
            )
        try:
            area = measure_area(self.rle.to_rle())
        except ValueError as exc:
            raise ValueError(f"rle.counts: {exc}") from exc
        if area != self.area:
            raise ValueError(f"area: expected the {area} pixels of the mask, got {self.area}")

    def has_sound_shape(self) -> bool:
        """Whether box, area and mask fit each other and the image."""
        try:
            self.check_shape()
        except ValueError:
            return False
        return True

    def _is_box_alone(self) -> bool:
        """Whether this is an object that came without a mask; what a segmenter finds has scores."""
        x0, y0, x1, y1 = self.bbox
        return self.predicted_iou is None and self.area == (x1 - x0) * (y1 - y0)

    @property
    def has_size(self) -> bool:
        """Whether the size of its image is known."""
        return self.width > 0 and self.height > 0

    def with_size(self, size_hw: tuple[int, int]) -> PointPayload:
        """The same in an image of this size, where its own is not known.

        What of a box lies outside of the image is cut off; nothing may be left of it.
        """
        if self.has_size:
            return self
        height, width = size_hw
        x0, y0, x1, y1 = self.bbox if self.kind == "object" else (0, 0, width, height)
        box = (min(x0, width), min(y0, height), min(x1, width), min(y1, height))
        return self.model_copy(update={"width": width, "height": height, "bbox": box})

    def has_sound_box(self) -> bool:
        """Whether the box lies in the image, as far as that is known, and is of a pixel or more."""
        x0, y0, x1, y1 = self.bbox
        if (self.width, self.height) == (0, 0):
            if self.kind == "image":
                return self.bbox == (0, 0, 0, 0)
            return 0 <= x0 < x1 and 0 <= y0 < y1
        return 0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height

    def decode_mask(self) -> BoolMask:
        """bool (height, width) of the whole image; all of it for a point that has no mask.

        Of an object that has a box alone it is the box. Raises VectorIndexError for a mask that
        does not fit the image, or where the size of the image is not known.
        """
        if not self.has_size:
            raise VectorIndexError(f"expected the size of an image, it is not known: {self.uri}")
        if self.rle is None:
            x0, y0, x1, y1 = self.bbox
            mask = np.zeros((self.height, self.width), np.bool_)
            mask[y0:y1, x0:x1] = True
            return mask
        rle = self.sound_mask()
        if rle is None:
            raise VectorIndexError(
                f"expected a mask of {self.width} x {self.height} pixels, the index holds a broken "
                f"one ({self.uri}): `objseek verify --repair` has the image done again"
            )
        return rle.decode()

    def sound_mask(self) -> CocoRle | None:
        """The mask, None where there is none or it does not fit the image."""
        if self.rle is None or self.rle.size != (self.height, self.width):
            return None
        rle = self.rle.to_rle()
        try:
            measure_area(rle)
        except ValueError:
            return None
        return rle


def read_mask(payload: Mapping[str, Any]) -> CocoRle | None:
    """The mask in a payload just as an index holds it; None for a point without any.

    Raises ValueError for a mask that is none, or does not cover the payload's image: pycocotools
    would read foreign memory, or never end.
    """
    match payload.get("rle"):
        case None:
            return None
        case {"size": [int() as height, int() as width], "counts": str() as counts}:
            rle = CocoRle((height, width), counts)
        case other:
            raise ValueError(f"rle: expected a mask, got {str(other)[:_SHOWN_CHARACTERS]}")
    if rle.size_hw != (payload.get("height"), payload.get("width")):
        expected = [payload.get("height"), payload.get("width")]
        raise ValueError(f"rle.size: expected {expected}, got {list(rle.size_hw)}")
    measure_area(rle)
    return rle


def payload_of(
    image: EmbeddedImage,
    record: ObjectRecord | ImageRecord,
    ordinal: int,
    ingested_at: datetime,
    run_started_at: datetime | None = None,
) -> PointPayload:
    """The payload of one record of an image; see `EmbeddedImage.records` for its `ordinal`.

    For objects that were added by hand it is `ADDED_ORDINAL`.
    """
    ref, (height, width) = image.ref, image.size_hw
    common = {
        "ordinal": ordinal,
        "added": True if ordinal == ADDED_ORDINAL else None,
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
    return PointPayload.model_validate(
        {
            **common,
            **_label_fields(image, record),
            **_shape_fields(image, record),
            **_time_fields(image, record),
            **_thumbnail_fields(record),
        }
    )


def _thumbnail_fields(record: ObjectRecord | ImageRecord) -> dict[str, object]:
    if record.thumbnail is None:
        return {}
    text = record.thumbnail.to_text()
    return {
        THUMBNAIL: text,
        "thumbnail_box": record.thumbnail.box_xyxy,
        "thumbnail_check": thumbnail_check(str(record.object_id), text),
    }


def _label_fields(image: EmbeddedImage, record: ObjectRecord | ImageRecord) -> dict[str, object]:
    if image.labelled_by is None:
        return {}
    labels = labels_of(image, record)
    return {
        "labels": tuple(label.name for label in labels),
        "label_scores": tuple(label.score for label in labels),
        "labelled_by": image.labelled_by,
    }


def _shape_fields(image: EmbeddedImage, record: ObjectRecord | ImageRecord) -> dict[str, object]:
    height, width = image.size_hw
    if isinstance(record, ImageRecord):
        return {
            "kind": "image",
            "bbox": (0, 0, width, height),
            "area": height * width,
            "area_frac": 1.0,
            "center_x_frac": 0.5,
            "center_y_frac": 0.5,
        }
    mask = record.mask
    x0, y0, x1, y1 = mask.bbox_xyxy
    return {
        "kind": "object",
        "bbox": mask.bbox_xyxy,
        "area": mask.area_px,
        "area_frac": mask.area_frac,
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability_score,
        "segmenter_label": mask.segmenter_label,
        "segmenter_score": mask.segmenter_score,
        "level": record.level,
        "parent_id": None if record.parent_id is None else str(record.parent_id),
        "rle": {"size": mask.rle.size_hw, "counts": mask.rle.counts},
        "center_x_frac": round((x0 + x1) / 2 / width, _DECIMALS),
        "center_y_frac": round((y0 + y1) / 2 / height, _DECIMALS),
        "label_logsumexp": record.naming.logsumexp if record.naming else None,
    }


def _time_fields(image: EmbeddedImage, record: ObjectRecord | ImageRecord) -> dict[str, object]:
    span = record.span
    if span is None:
        return {}
    return {
        "t_start": round(span.start_s, _DECIMALS),
        "t_end": round(span.end_s, _DECIMALS),
        "t_key": round(span.key_s, _DECIMALS),
        "duration": round(span.end_s - span.start_s, _DECIMALS),
        "video_duration": image.duration_s,
        "frames": span.frames,
        "shot": span.shot,
        "mean_area_frac": span.mean_area_frac,
        "motion": span.motion,
    }


def labels_of(image: EmbeddedImage, record: ObjectRecord | ImageRecord) -> tuple[Label, ...]:
    """A record's labels, the likeliest first; those of an image or a shot are its objects'."""
    if isinstance(record, ObjectRecord):
        return record.naming.labels if record.naming else ()
    return best_labels(
        label
        for each in (*image.objects, *image.added)
        if each.span is None or record.span is None or each.span.shot == record.span.shot
        for label in labels_of(image, each)
    )


def best_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """The 20 likeliest labels of an image's objects, each with its highest probability."""
    best: dict[str, Label] = {}
    for label in labels:
        if label.name not in best or best[label.name].score < label.score:
            best[label.name] = label
    ranked = sorted(best.values(), key=lambda label: (-label.score, label.name))
    return tuple(ranked[:MOST_LABELS])
