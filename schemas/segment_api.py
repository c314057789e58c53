"""Defines the request and the response of segmenting an image by the service."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.labels import MAX_LABEL_CHARS
from schemas.masks import ObjectMask
from schemas.payload import RlePayload
from schemas.search import MAX_EXAMPLES, Text

MAX_POINTS = 64
MAX_SEGMENT_LABELS = 2000
LabelName = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)]


class SegmentPoint(BaseModel):
    """A point in pixels; `label` 1: on the object, 0: off it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    x: float
    y: float
    label: Literal[0, 1] = 1


class SegmentRequest(BaseModel):
    """What to segment in an upload, or in the image of an `image_id` that is indexed.

    `points`, `box` (x0, y0, x1, y1 in pixels) and `mask` (of the image's size) are one prompt
    together. Or `texts` that masks should show, with a probability of `min_probability`; or
    `labels`, of which every pixel's segment gets one. Without any of these: everything.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"upload_id": "abc", "points": [{"x": 130, "y": 180}]}]},
    )
    upload_id: str | None = Field(default=None, max_length=64)
    image_id: str | None = Field(default=None, max_length=64)
    points: tuple[SegmentPoint, ...] = Field(default=(), max_length=MAX_POINTS)
    box: tuple[float, float, float, float] | None = None
    mask: RlePayload | None = None
    texts: tuple[Text, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    min_probability: float | None = Field(default=None, ge=0, le=1)
    labels: tuple[LabelName, ...] = Field(default=(), max_length=MAX_SEGMENT_LABELS)

    @model_validator(mode="after")
    def _one_image_and_one_kind(self) -> Self:
        if (self.upload_id is None) == (self.image_id is None):
            raise ValueError("expected either an upload_id or an image_id")
        prompted = bool(self.points or self.box or self.mask)
        if prompted + bool(self.texts) + bool(self.labels) > 1:
            raise ValueError("expected a prompt of points, box and mask, or texts, or labels")
        if self.min_probability is not None and not self.texts:
            raise ValueError("expected texts to go with min_probability")
        return self


class SegmentedMask(BaseModel):
    """A mask. `bbox` is x0, y0, x1, y1 in pixels, half-open; `area` in pixels.

    `label` is the text or label that found it, or what a segmenter that knows classes calls it, as
    sure as `score`; the others are segment-anything's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    bbox: tuple[int, int, int, int]
    rle: RlePayload
    area: int
    area_frac: float
    label: str | None = None
    score: float | None = None
    predicted_iou: float | None = None
    stability_score: float | None = None

    @classmethod
    def from_mask(cls, mask: ObjectMask) -> SegmentedMask:
        return cls(
            bbox=mask.bbox_xyxy,
            rle=RlePayload(size=mask.rle.size_hw, counts=mask.rle.counts),
            area=mask.area_px,
            area_frac=mask.area_frac,
            label=mask.segmenter_label,
            score=mask.segmenter_score,
            predicted_iou=mask.predicted_iou,
            stability_score=mask.stability_score,
        )


class SegmentAnswer(BaseModel):
    """The masks of an image of so many pixels: largest first, those of texts surest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int
    height: int
    segmenter: str
    masks: tuple[SegmentedMask, ...]
