"""An embedder that takes as many crops at once as there is memory for."""

from __future__ import annotations

import numpy as np

from schemas.records import Float32Matrix
from workers.batching import WithinMemory
from workers.protocols import ImageEmbedder, UInt8Crops


class EmbedderWithinMemory:
    """An `ImageEmbedder` that embeds as another does; see `WithinMemory`."""

    def __init__(self, inner: ImageEmbedder) -> None:
        self.name, self.dim, self.fingerprint = inner.name, inner.dim, inner.fingerprint
        self._embed = WithinMemory(inner.embed_images, "crops")

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        """float32 (len(crops), dim), unit rows."""
        return np.array(self._embed(crops), np.float32).reshape(-1, self.dim)
