"""What an image is segmented by: clicks and boxes, boxes of a file, texts, labels, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.boxes import BoxXyxy
from schemas.errors import UsageError
from schemas.labels import LabelEntry
from schemas.masks import BoolMask


@dataclass(frozen=True, slots=True, eq=False)
class PromptQuery:
    """Points, a box and an earlier mask, which are one prompt, as in segment-anything's predictor.

    `points_xy` pixels, with a label each: 1 on the object, 0 not on it. `mask` bool (height,
    width), of the image's size.
    """

    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: BoxXyxy | None = None
    mask: BoolMask | None = None


@dataclass(frozen=True, slots=True)
class EverythingQuery:
    """All that the segmenter finds."""


@dataclass(frozen=True, slots=True)
class BoxesQuery:
    """A mask for each box, and nothing else; whatever leaves the image is cut off."""

    boxes_xyxy: tuple[BoxXyxy, ...]


@dataclass(frozen=True, slots=True)
class TextQuery:
    """What shows one of the texts with a probability of `least`, None: as what finds it has it."""

    texts: tuple[str, ...]
    least: float | None = None

    def __post_init__(self) -> None:
        for text in self.texts:
            if not text.strip():
                raise UsageError(f"expected a text that says what to look for, got {text!r}")


@dataclass(frozen=True, slots=True)
class LabelsQuery:
    """Every pixel: its best segment, and of these labels that segment's nearest."""

    entries: tuple[LabelEntry, ...]


SegmentQuery = PromptQuery | EverythingQuery | BoxesQuery | TextQuery | LabelsQuery
