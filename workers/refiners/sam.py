"""Asks a SAM with each mask for a better one (`sam`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import RefinerOptions
from schemas.overlaps import mask_iou
from workers.refiners.innermost import find_innermost
from workers.segmenter_protocols import (
    BoxMasker,
    FindSam,
    PromptableSegmenter,
    PromptedSam,
    PromptSession,
)


class SamRefiner:
    """Prompts a SAM with a mask's box, its innermost point and the mask itself.

    One that takes boxes alone is asked by the box. An answer that has an IoU of less than
    `min_iou` with the mask is of something else: then the mask stays.
    """

    name = "sam"

    def __init__(self, sam: PromptedSam, min_iou: float) -> None:
        self.sam, self.min_iou = sam, min_iou
        self.fingerprint = "sam 1 " + fingerprint({"sam": sam.made_of, "min_iou": min_iou})

    def open_image(self, image: UInt8Image) -> _SamImage:
        """See `Refiner`. The image is encoded when the first mask comes, once for all."""
        return _SamImage(self, image)


def build(options: RefinerOptions, find_sam: FindSam) -> SamRefiner:
    """Loads the SAM."""
    return SamRefiner(find_sam(), options.sam.min_iou)


@dataclass(frozen=True, eq=False)
class _SamImage:
    """See `ImageRefiner`."""

    refiner: SamRefiner
    image: UInt8Image

    @cached_property
    def _session(self) -> PromptSession:
        segmenter = self.refiner.sam.segmenter
        assert isinstance(segmenter, PromptableSegmenter)
        return segmenter.open_image(self.image)

    def refine(self, masks: Sequence[CocoRle]) -> list[CocoRle]:
        segmenter = self.refiner.sam.segmenter
        if isinstance(segmenter, PromptableSegmenter):
            answers = [self._ask(rle) for rle in masks]
        else:
            assert isinstance(segmenter, BoxMasker)
            boxes = [_float_box(rle) for rle in masks]
            answers = segmenter.mask_boxes(self.image, boxes) if boxes else []
        return [self._choose(rle, answer) for rle, answer in zip(masks, answers, strict=True)]

    def _ask(self, rle: CocoRle) -> ObjectMask | None:
        mask = rle.decode()
        return self._session.predict(
            points_xy=[find_innermost(mask)],
            labels=[1],
            box_xyxy=_float_box(rle),
            mask_input=self._session.frame_mask(mask),
        ).mask

    def _choose(self, rle: CocoRle, answer: ObjectMask | None) -> CocoRle:
        if answer is None or mask_iou([rle], [answer.rle])[0, 0] < self.refiner.min_iou:
            return rle
        return answer.rle


def _float_box(rle: CocoRle) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = rle.bbox_xyxy
    return float(x0), float(y0), float(x1), float(y1)
