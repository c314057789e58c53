"""Stands in for the segmenter of masks that an index or a file already holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import VectorIndexError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask


@dataclass(slots=True)
class StoredMasksSegmenter:
    """Lends the pipeline the name and fingerprint of whatever made the masks.

    The masks themselves come with the images (`WorkItem.known`), which are therefore not segmented.
    """

    name: str
    fingerprint: str
    notes: tuple[str, ...] = ()

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """Raises VectorIndexError: these images came without their masks."""
        raise VectorIndexError(
            f"expected images with the stored masks of {self.name}, got {len(images)} without"
        )

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        """Raises VectorIndexError: no model is loaded that could find anything."""
        raise VectorIndexError(
            f"expected a segmenter to find what is at {point_xy}, got stored masks of {self.name}"
        )
