"""Defines the interface of video models, which carry masks from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.images import UInt8Image
from schemas.masks import ObjectMask


@dataclass(frozen=True, slots=True)
class CarriedMask:
    """Where a video model sees an object; `score`, 0.5 to 1, is how likely it is to be there."""

    mask: ObjectMask
    score: float


class MaskCarrier(Protocol):
    """Carries masks through the frames of a shot, beginning with the first."""

    def carry(self, masks: Mapping[int, ObjectMask | None]) -> dict[int, CarriedMask]:
        """Go on to the next frame: what is there of objects, by their numbers.

        `masks` are those of objects in the frame before, of its size. An object has one in its
        first frame; None: it was not found again, and is where it was carried to. What is not among
        `masks` is forgotten; what is no longer seen is not in the answer. Raises IndexError after
        the last frame.
        """
        ...


class Propagator(Protocol):
    """A video model."""

    def open_shot(self, images: Sequence[UInt8Image]) -> MaskCarrier:
        """For the frames of one shot, uint8 (height, width, 3) RGB of one size, in their order."""
        ...
