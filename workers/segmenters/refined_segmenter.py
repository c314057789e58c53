"""Makes the masks of any segmenter finer, whatever they were found by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.boxes import BoxXyxy
from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from workers.refiners.chain import RefiningChain
from workers.segmenter_protocols import (
    BoxMasker,
    BoxSegmenter,
    Float32Logits,
    PromptableSegmenter,
    PromptedMask,
    PromptSession,
    Refiner,
    Segmenter,
    TextFinder,
    TextSegmenter,
    stuff_labels_of,
)


def refine_segmenter(segmenter: Segmenter, refiners: Sequence[Refiner]) -> Segmenter:
    """A segmenter whose masks are refined, and which takes what prompts the other takes."""
    if not refiners:
        return segmenter
    if isinstance(segmenter, PromptableSegmenter):
        return _RefinedPromptableSegmenter(segmenter, refiners)
    if isinstance(segmenter, BoxMasker):
        return _RefinedBoxMasker(segmenter, refiners)
    if isinstance(segmenter, BoxSegmenter):
        return _RefinedBoxSegmenter(segmenter, refiners)
    if isinstance(segmenter, TextSegmenter):
        return _RefinedTextSegmenter(segmenter, refiners)
    return _RefinedSegmenter(segmenter, refiners)


class _RefinedSegmenter:
    """See `Segmenter`."""

    def __init__(self, segmenter: Segmenter, refiners: Sequence[Refiner]) -> None:
        self._segmenter = segmenter
        self._refiners = tuple(refiners)
        self.name = segmenter.name
        self.notes = segmenter.notes
        self.stuff_labels = stuff_labels_of(segmenter)
        made_of = [refiner.fingerprint for refiner in refiners]
        self.fingerprint = fingerprint({"segmenter": segmenter.fingerprint, "refine": made_of})

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        return self._refine(images, self._segmenter.segment(images))

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        mask = self._segmenter.segment_at(image, point_xy)
        return None if mask is None else self._open(image).refine([mask])[0]

    def _open(self, image: UInt8Image) -> RefiningChain:
        return RefiningChain.open_image(image, self._refiners)

    def _refine(
        self, images: Sequence[UInt8Image], masks: Sequence[Sequence[ObjectMask]]
    ) -> list[list[ObjectMask]]:
        """Largest area first, as before; of the same area in the same order."""
        refined = [
            self._open(image).refine(found) for image, found in zip(images, masks, strict=True)
        ]
        return [sorted(found, key=lambda mask: -mask.area_px) for found in refined]


class _RefinedBoxSegmenter(_RefinedSegmenter):
    """See `BoxSegmenter`."""

    def segment_with_boxes(
        self, images: Sequence[UInt8Image], boxes: Sequence[Sequence[BoxXyxy]]
    ) -> list[list[ObjectMask]]:
        assert isinstance(self._segmenter, BoxSegmenter)
        return self._refine(images, self._segmenter.segment_with_boxes(images, boxes))


class _RefinedBoxMasker(_RefinedBoxSegmenter):
    """See `BoxMasker`."""

    def mask_boxes(self, image: UInt8Image, boxes: Sequence[BoxXyxy]) -> list[ObjectMask | None]:
        assert isinstance(self._segmenter, BoxMasker)
        masks = self._segmenter.mask_boxes(image, boxes)
        refined = iter(self._open(image).refine([mask for mask in masks if mask is not None]))
        return [mask and next(refined) for mask in masks]


class _RefinedTextSegmenter(_RefinedSegmenter):
    """See `TextSegmenter`."""

    @property
    def text_finder(self) -> TextFinder:
        assert isinstance(self._segmenter, TextSegmenter)
        return _RefinedFinder(self._segmenter.text_finder, self._refiners)


@dataclass(frozen=True, slots=True, eq=False)
class _RefinedFinder:
    """See `TextFinder`."""

    finder: TextFinder
    refiners: tuple[Refiner, ...]

    @property
    def name(self) -> str:
        return self.finder.name

    def check(self, texts: Sequence[str]) -> None:
        self.finder.check(texts)

    def find(
        self, image: UInt8Image, texts: Sequence[str], least: float | None = None
    ) -> list[ObjectMask]:
        found = self.finder.find(image, texts, least)
        return RefiningChain.open_image(image, self.refiners).refine(found)


class _RefinedPromptableSegmenter(_RefinedBoxMasker):
    """See `PromptableSegmenter`."""

    def open_image(self, image: UInt8Image) -> PromptSession:
        assert isinstance(self._segmenter, PromptableSegmenter)
        return _RefinedSession(self._segmenter.open_image(image), self._open(image))


@dataclass(frozen=True, slots=True, eq=False)
class _RefinedSession:
    """See `PromptSession`."""

    session: PromptSession
    chain: RefiningChain

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        answer = self.session.predict(points_xy, labels, box_xyxy, mask_input)
        if answer.mask is None:
            return answer
        return replace(answer, mask=self.chain.refine([answer.mask])[0])

    def frame_mask(self, mask: BoolMask) -> Float32Logits:
        return self.session.frame_mask(mask)
