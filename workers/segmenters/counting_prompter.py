"""Counts what a model is asked and encodes, and encodes what is looked at again only once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from schemas.images import UInt8Image
from workers.segmenters.sam_prompter import Float64s, Guesses, Prompter, View


@dataclass(frozen=True, slots=True, eq=False)
class _CountedView:
    inner: View
    prompter: CountingPrompter

    @property
    def embedding(self) -> Tensor:
        return self.inner.embedding

    def guess(self, points_xy: Float64s) -> Guesses:
        self.prompter.prompts += len(points_xy)
        return self.inner.guess(points_xy)


class CountingPrompter:
    """How many points it has been asked, and how many views it has `encoded`.

    Views are kept until `forget`.
    """

    def __init__(self, inner: Prompter) -> None:
        self._inner = inner
        self._views: dict[tuple[bytes, tuple[int, ...]], View] = {}
        self.prompts = self.encoded = 0
        self.frame_side, self.low_side = inner.frame_side, inner.low_side
        self.mask_threshold, self.device = inner.mask_threshold, inner.device
        self.stretches = inner.stretches

    def encode(self, images: Sequence[UInt8Image]) -> list[_CountedView]:
        return [_CountedView(self._view(image), self) for image in images]

    def forget(self) -> None:
        """Let the views go that were kept."""
        self._views.clear()

    def _view(self, image: UInt8Image) -> View:
        key = hashlib.blake2b(np.ascontiguousarray(image).data).digest(), image.shape
        if key not in self._views:
            (self._views[key],) = self._inner.encode([image])
            self.encoded += 1
        return self._views[key]
