"""An embedder of another space than the fakes', which may be interrupted."""

from __future__ import annotations

import numpy as np
from support import fakes

from schemas.ids import fingerprint
from schemas.records import Float32Matrix
from workers.protocols import UInt8Crops


class SpreadEmbedder(fakes.MeanEmbedder):
    """Another space, of 5 numbers. `fails_after`: so many calls are answered."""

    name = "spread"
    dim = 5

    def __init__(self, fails_after: int = 10**9) -> None:
        self.fingerprint = fingerprint({"embedder": self.name})
        self._left = fails_after

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return np.array([self._vector(crop) for crop in crops], np.float32)

    def _vector(self, crop: np.ndarray) -> np.ndarray:
        pixels = crop.reshape(-1, 3) / 255
        vector = np.concatenate([pixels.max(axis=0), [pixels.std(), 0.25]])
        return vector / np.linalg.norm(vector)
