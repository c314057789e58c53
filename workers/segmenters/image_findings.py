"""What a segmenter knows of an image while it finds masks in it and in its crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.boxes import BoxXyxy
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from workers.segmenters.candidates import Candidates, Crop


@dataclass(eq=False)
class ImageFindings:
    """An image, by its number in a batch, as it was padded; `size_hw` is what it was before.

    `boxes` were given with it, `in_boxes` are their masks. `found` is what each crop has shown so
    far; `later` are the crops that come after the whole image.
    """

    number: int
    padded: UInt8Image
    size_hw: tuple[int, int]
    boxes: Sequence[BoxXyxy]
    in_boxes: list[ObjectMask] = field(default_factory=list)
    found: list[Candidates] = field(default_factory=list)
    later: list[Crop] = field(default_factory=list)

    @property
    def known(self) -> list[ObjectMask] | None:
        """The masks of boxes, None where none were given."""
        return self.in_boxes if self.boxes else None
