"""Says what tracks are made of: objects in single frames, of which few are embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.records import Float32Matrix, Float32Vector
from schemas.videos import Sighting
from workers.videos.mask_colours import measure_colours
from workers.videos.mask_patches import MaskPatch, cut_patch
from workers.videos.worth import measure_worth

EmbedMasks = Callable[[Sequence[tuple[float, ObjectMask]]], Float32Matrix]
"""Masks with the times of their frames, in seconds, to unit vectors: float32 (masks, dim)."""


@dataclass(slots=True, eq=False)
class SeenObject:
    """An object in one frame. `colours` are those of its mask, a unit (see `mask_colours`).

    `vector` is a unit; None: it has not been embedded, which takes far longer than all else. What
    nothing but a video model has seen is `carried`.
    """

    time_s: float
    mask: ObjectMask
    patch: MaskPatch
    colours: Float32Vector
    worth: float
    vector: Float32Vector | None = None
    carried: bool = False

    def to_sighting(self) -> Sighting:
        return Sighting(self.time_s, self.mask, self.worth, self.vector)


def list_seen(
    time_s: float, pixels: UInt8Image, masks: Sequence[ObjectMask]
) -> tuple[SeenObject, ...]:
    """What is in a frame, uint8 (height, width, 3); nothing is embedded yet."""
    patches = [cut_patch(mask) for mask in masks]
    return tuple(
        SeenObject(time_s, mask, patch, colours, measure_worth(mask))
        for mask, patch, colours in zip(
            masks, patches, measure_colours(pixels, patches), strict=True
        )
    )
