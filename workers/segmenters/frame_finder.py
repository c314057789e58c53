"""Finds objects with a network that sees an image as frames, and a head that reads its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.compute import computing
from workers.segmenters.placement import Placement
from workers.segmenters.preparation import Preparation

Outputs = TypeVar("Outputs")
OutputsRead = TypeVar("OutputsRead", contravariant=True)


class Head(Protocol[OutputsRead]):
    """Makes objects of what a network says of all frames of an image."""

    def find(self, frames: Sequence[OutputsRead]) -> list[ObjectMask]: ...

    def describe(self) -> dict[str, object]: ...


class FrameFinder(Generic[Outputs]):
    """`see` is the network: of a frame, float32 (1, 3, height, width), normalised, what it says."""

    def __init__(
        self,
        see: Callable[[Tensor, Placement], Outputs],
        head: Head[Outputs],
        preparation: Preparation,
        options: SegmenterOptions,
    ) -> None:
        self._see, self._head = see, head
        self._preparation, self._options = preparation, options

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        places = self._preparation.place((image.shape[0], image.shape[1]))
        with computing(self._options):
            device = torch.device(self._options.device)
            frames = self._preparation.make_frames(image, places, device)
            seen = [
                self._see(frame[None], place) for frame, place in zip(frames, places, strict=True)
            ]
        with torch.inference_mode():
            return self._head.find(seen)

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        return {"preparation": self._preparation.describe(), "head": self._head.describe()}
