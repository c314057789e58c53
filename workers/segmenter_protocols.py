"""Defines the interfaces of what finds the masks of objects, and of what makes them finer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from schemas.boxes import BoxXyxy
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle, ObjectMask

Float32Logits = npt.NDArray[np.float32]
"""Logits of a mask at a model's own resolution, float32 (side, side)."""


class Segmenter(Protocol):
    """Finds every object. `fingerprint` covers the weights and all parameters.

    `notes` are sentences that its user should read.
    """

    name: str
    fingerprint: str
    notes: tuple[str, ...]

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """Masks of each image at its own size, in a deterministic order (largest area first)."""
        ...

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        """The mask at a point (pixels), None if there is none.

        Raises UsageError for a point that is not in the image.
        """
        ...


@runtime_checkable
class StuffSegmenter(Protocol):
    """A segmenter that knows which of its classes are stuff, such as sky, and have no instances."""

    stuff_labels: frozenset[str]


def stuff_labels_of(segmenter: Segmenter) -> frozenset[str]:
    """The labels of a segmenter's masks that are of stuff; none where it does not know."""
    return segmenter.stuff_labels if isinstance(segmenter, StuffSegmenter) else frozenset()


@runtime_checkable
class BoxSegmenter(Protocol):
    """A segmenter that takes boxes as prompts."""

    def segment_with_boxes(
        self, images: Sequence[UInt8Image], boxes: Sequence[Sequence[BoxXyxy]]
    ) -> list[list[ObjectMask]]:
        """A mask for each box of each image, and what there is elsewhere, largest area first.

        Boxes lie in their images, one or more in each.
        """
        ...


@runtime_checkable
class BoxMasker(Protocol):
    """A segmenter that gives boxes masks, and looks for nothing else."""

    def mask_boxes(self, image: UInt8Image, boxes: Sequence[BoxXyxy]) -> list[ObjectMask | None]:
        """The mask of each box of uint8 (height, width, 3) RGB, in their order; None: it is empty.

        Boxes lie in the image.
        """
        ...


class TextFinder(Protocol):
    """Looks for texts in images. `name` is the model that finds them."""

    @property
    def name(self) -> str: ...

    def check(self, texts: Sequence[str]) -> None:
        """Raise UsageError for a text that cannot be looked for."""
        ...

    def find(
        self, image: UInt8Image, texts: Sequence[str], least: float | None = None
    ) -> list[ObjectMask]:
        """Objects that show a text with a score of `least`, None: as set; surest first.

        Each with the text as its label and the score. Raises UsageError as `check` does.
        """
        ...


@runtime_checkable
class TextSegmenter(Protocol):
    """A segmenter that looks for texts, whichever are asked for."""

    @property
    def text_finder(self) -> TextFinder: ...


@dataclass(frozen=True, slots=True, eq=False)
class PromptedMask:
    """The answer to a prompt: its mask, None if it is empty, and the logits that it was made of.

    logits float32 (side, side), of the model's square frame, of which the image covers the upper
    left part; to be fed back with the next prompt.
    """

    mask: ObjectMask | None
    logits: Float32Logits


class PromptSession(Protocol):
    """An image that is encoded, and asked as often as a user corrects what is shown."""

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        """The best mask for all of these together, which are one prompt.

        points_xy, pixels, with a label each: 1 on the object, 0 not on it. mask_input, the logits
        of an earlier answer. Raises UsageError for a prompt that is empty, or not of this image.
        """
        ...

    def frame_mask(self, mask: BoolMask) -> Float32Logits:
        """A mask from elsewhere, bool (height, width), as `mask_input`.

        Raises UsageError for one that is empty, or of another size than the image.
        """
        ...


@runtime_checkable
class PromptableSegmenter(Protocol):
    """A segmenter that takes clicks, boxes and masks as prompts, several at once."""

    def open_image(self, image: UInt8Image) -> PromptSession:
        """Encode uint8 (height, width, 3) RGB once for all of its prompts."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PromptedSam:
    """A SAM that refiners may ask. `made_of` is what its answers depend on, for fingerprints."""

    segmenter: PromptableSegmenter | BoxMasker
    made_of: Mapping[str, object]


FindSam = Callable[[], PromptedSam]
"""Loads the SAM that the options name. Raises what building a segmenter does."""


class ImageRefiner(Protocol):
    """Makes masks of one image finer."""

    def refine(self, masks: Sequence[CocoRle]) -> list[CocoRle]:
        """Each of the masks, none of which is empty, made finer, in their order."""
        ...


class Refiner(Protocol):
    """Makes masks finer. `fingerprint` covers all that decides how."""

    name: str
    fingerprint: str

    def open_image(self, image: UInt8Image) -> ImageRefiner:
        """For the masks of uint8 (height, width, 3) RGB; what they share is done once."""
        ...
