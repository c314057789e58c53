"""Segments images for a Python program: arrays in, masks out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.search.source_images import query_image
from pipeline.segmentation.loaded_models import LoadedModels, ModelSource
from pipeline.segmentation.queries import (
    EverythingQuery,
    LabelsQuery,
    PromptQuery,
    SegmentQuery,
    TextQuery,
)
from pipeline.segmentation.segment import check_query, segment
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.labels import parse_labels
from schemas.masks import BoolMask, ObjectMask
from schemas.search import Box

Picture = UInt8Image | str | os.PathLike[str]
"""uint8 (height, width, 3) RGB, or a path or uri."""
PointPrompt = tuple[float, float] | tuple[float, float, int]
"""x and y in pixels, and 0 for a point that is not on the object."""


@dataclass(frozen=True)
class SegmentedObject:
    """A mask of a picture. `object_mask` is all that is known of it."""

    object_mask: ObjectMask

    @property
    def mask(self) -> BoolMask:
        """bool (height, width) of the whole picture."""
        return self.object_mask.rle.decode()

    @property
    def bbox_xyxy(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels, half-open."""
        return self.object_mask.bbox_xyxy

    @property
    def area_px(self) -> int:
        """How many pixels the mask has."""
        return self.object_mask.area_px

    @property
    def label(self) -> str | None:
        """The text or label that found it, or what a segmenter that knows classes calls it."""
        return self.object_mask.segmenter_label

    @property
    def score(self) -> float:
        """How sure that is; without a label, how sure the segmenter is of the mask. 0 to 1."""
        score = self.object_mask.segmenter_score
        return self.object_mask.sureness if score is None else score


@dataclass(frozen=True, eq=False)
class Prompts:
    """What a picture is to be segmented by; see `objseek.segment`."""

    points: Sequence[PointPrompt] = ()
    box: Box | None = None
    mask: BoolMask | None = None
    text: str | Sequence[str] | None = None
    labels: Sequence[str] | None = None
    min_probability: float | None = None

    def parse(self) -> SegmentQuery:
        """The query. Raises UsageError for prompts of several kinds."""
        prompted = bool(len(self.points)) or self.box is not None or self.mask is not None
        if prompted + (self.text is not None) + (self.labels is not None) > 1:
            raise UsageError(
                "expected a prompt of points, box and mask, or a text, or labels, got several"
            )
        if self.min_probability is not None and self.text is None:
            raise UsageError("expected a text to go with min_probability")
        if self.text is not None:
            texts = (self.text,) if isinstance(self.text, str) else tuple(self.text)
            return TextQuery(texts, self.min_probability)
        if self.labels is not None:
            try:
                return LabelsQuery(parse_labels(self.labels))
            except ValueError as exc:
                raise UsageError(f"the labels are not valid: {exc}") from exc
        if not prompted:
            return EverythingQuery()
        return PromptQuery(
            points_xy=tuple((point[0], point[1]) for point in self.points),
            point_labels=tuple(int(point[2]) if len(point) > 2 else 1 for point in self.points),
            box_xyxy=self.box,
            mask=self.mask,
        )


def segment_picture(
    picture: Picture, prompts: Prompts, models: LoadedModels, settings: Settings
) -> list[SegmentedObject]:
    """The masks of a picture: largest first, those of texts surest first. Raises ObjseekError."""
    query = prompts.parse()
    if isinstance(picture, np.ndarray):
        _check_pixels(picture)
    else:
        picture = query_image(os.fspath(picture), settings).pixels
    check_query(query, models)
    return [SegmentedObject(mask) for mask in segment([picture], query, models)[0]]


def _check_pixels(pixels: UInt8Image) -> None:
    """Raise UsageError for what is no picture: segmenters rely on it."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise UsageError(
            f"expected pixels as uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}"
        )


@lru_cache(maxsize=1)
def load_models(settings: Settings) -> LoadedModels:
    """The models that settings name; those of the last call are kept."""
    return LoadedModels(ModelSource.of(settings))
