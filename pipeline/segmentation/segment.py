"""Segments images by what is asked for: all, prompts, boxes, texts, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.segmentation.queries import (
    BoxesQuery,
    EverythingQuery,
    LabelsQuery,
    PromptQuery,
    SegmentQuery,
    TextQuery,
)
from schemas.boxes import clip_box
from schemas.errors import DatasetError, UsageError
from schemas.images import UInt8Image
from schemas.labels import LabelEntry
from schemas.masks import ObjectMask
from schemas.records import Float32Matrix
from workers.labelling.labeller import Labeller
from workers.labelling.panoptic import label_segments
from workers.labelling.text_match import TextMatcher
from workers.refiners.innermost import find_innermost
from workers.segmenter_protocols import (
    BoxMasker,
    BoxSegmenter,
    PromptableSegmenter,
    Segmenter,
    TextFinder,
)


class SegmentModels(Protocol):
    """The models that images are segmented with, each loaded when it is first needed."""

    def segmenter(self) -> Segmenter:
        """The segmenter."""
        ...

    def text_finder(self) -> TextFinder | None:
        """What looks for texts itself; None: masks that the segmenter finds are compared with them.

        Raises UsageError where a detector is asked for and the segmenter takes no boxes.
        """
        ...

    def embed_masks(self, image: UInt8Image, masks: Sequence[ObjectMask]) -> Float32Matrix:
        """The unit vectors of masks: float32 (len(masks), dim)."""
        ...

    def build_matcher(self, texts: Sequence[str]) -> TextMatcher:
        """What tells masks of texts. Raises UsageError for a text that was never learnt."""
        ...

    def build_labeller(self, entries: Sequence[LabelEntry]) -> Labeller:
        """What calls masks by these labels."""
        ...


def check_query(query: SegmentQuery, models: SegmentModels) -> None:
    """Load the models that a query needs, before images are read.

    Raises UsageError for a segmenter that takes no such prompts and for a text that the embedder
    has not learnt, and ModelError.
    """
    segmenter = models.segmenter()
    match query:
        case PromptQuery():
            _require_promptable(segmenter)
        case BoxesQuery():
            if not isinstance(segmenter, PromptableSegmenter | BoxMasker | BoxSegmenter):
                raise UsageError(f"expected a segmenter that takes boxes, got {segmenter.name}")
        case TextQuery(texts=texts):
            if (finder := models.text_finder()) is not None:
                finder.check(texts)
            else:
                models.build_matcher(texts)
        case LabelsQuery(entries=entries):
            models.build_labeller(entries)


def segment(
    images: Sequence[UInt8Image], query: SegmentQuery, models: SegmentModels
) -> list[list[ObjectMask]]:
    """The masks of each image, uint8 (height, width, 3) RGB: largest first, of texts surest first.

    Those that were found by a text or a label have it as their `segmenter_label`. Raises UsageError
    for a prompt that does not fit an image, or a segmenter that takes none, and ModelError.
    """
    match query:
        case EverythingQuery():
            return models.segmenter().segment(images)
        case PromptQuery():
            return [_answer_prompt(image, query, models.segmenter()) for image in images]
        case BoxesQuery(boxes_xyxy=boxes):
            return [_fill_boxes(image, boxes, models.segmenter()) for image in images]
        case TextQuery(texts=texts, least=least):
            if (finder := models.text_finder()) is not None:
                return [finder.find(image, texts, least) for image in images]
            matcher = models.build_matcher(texts)
            return [
                matcher.find(masks, models.embed_masks(image, masks), least)
                for image, masks in _segment_all(images, models)
            ]
        case LabelsQuery(entries=entries):
            labeller = models.build_labeller(entries)
            return [
                label_segments(masks, models.embed_masks(image, masks), labeller)
                for image, masks in _segment_all(images, models)
            ]


def _segment_all(
    images: Sequence[UInt8Image], models: SegmentModels
) -> list[tuple[UInt8Image, list[ObjectMask]]]:
    return list(zip(images, models.segmenter().segment(images), strict=True))


def _answer_prompt(image: UInt8Image, query: PromptQuery, segmenter: Segmenter) -> list[ObjectMask]:
    session = _require_promptable(segmenter).open_image(image)
    points, labels = query.points_xy, query.point_labels
    framed = None if query.mask is None else session.frame_mask(query.mask)
    if query.mask is not None and not points and query.box_xyxy is None:
        # Decoders learn masks beside the clicks that correct them, never alone.
        points, labels = (find_innermost(query.mask),), (1,)
    answer = session.predict(points, labels, query.box_xyxy, framed)
    return [] if answer.mask is None else [answer.mask]


def _require_promptable(segmenter: Segmenter) -> PromptableSegmenter:
    if not isinstance(segmenter, PromptableSegmenter):
        raise UsageError(
            f"expected a segmenter that takes points, boxes and masks, got {segmenter.name}"
        )
    return segmenter


def _fill_boxes(
    image: UInt8Image, boxes: Sequence[tuple[float, float, float, float]], segmenter: Segmenter
) -> list[ObjectMask]:
    """A mask for each box that the segmenter finds something in, in their order."""
    size_hw = image.shape[0], image.shape[1]
    try:
        clipped = [clip_box(box, size_hw) for box in boxes]
    except DatasetError as exc:
        raise UsageError(str(exc)) from exc
    if not clipped:
        return []
    if isinstance(segmenter, PromptableSegmenter):
        session = segmenter.open_image(image)
        answers = [session.predict(box_xyxy=box).mask for box in clipped]
        return [mask for mask in answers if mask is not None]
    if isinstance(segmenter, BoxMasker):
        return [mask for mask in segmenter.mask_boxes(image, clipped) if mask is not None]
    assert isinstance(segmenter, BoxSegmenter)  # as `check_query` makes sure
    return segmenter.segment_with_boxes([image], [clipped])[0]
