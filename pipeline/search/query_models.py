"""The models that queries are looked at with, each loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.search.same_object import unit
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import EmbedderOptions
from schemas.records import Float32Vector
from workers.protocols import Embedder, Segmenter, TextEmbedder
from workers.registry import build_embedder, build_segmenter, build_text_embedder


class QueryModels:
    """The embedder `embedder_name`, whose vectors have `dim` numbers, and a segmenter.

    `embedder` stands for both of its halves where it is given. Not thread-safe.
    """

    def __init__(
        self,
        settings: Settings,
        embedder_name: str,
        dim: int,
        embedder: Embedder | None = None,
    ) -> None:
        self._settings, self._name, self._dim = settings, embedder_name, dim
        self._images: Embedder | None = embedder
        self._texts: TextEmbedder | None = embedder
        self._segmenter: Segmenter | None = None

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]:
        """Raises ModelError, UnknownModelError, EmbedderMismatchError."""
        return list(self.texts().embed_texts(texts))

    def embed_views(self, views: Sequence[UInt8Image]) -> Float32Vector:
        """The unit mean of the views' vectors. Raises as `embed_texts` does."""
        return unit(self.images().embed_images(views).mean(axis=0))

    def mask_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask:
        """What is at a point. Raises UsageError if nothing is, or the point is outside."""
        mask = self.segmenter().segment_at(image, point_xy)
        if mask is None:
            x, y = point_xy
            raise UsageError(f"the segmenter finds nothing at {x:g},{y:g}")
        return mask

    def texts(self) -> TextEmbedder:
        """The half that embeds texts."""
        if self._texts is None:
            self._texts = self._images or build_text_embedder(self._options())
        self._check(self._texts)
        return self._texts

    def images(self) -> Embedder:
        """The whole embedder."""
        if self._images is None:
            self._images = build_embedder(self._options())
        self._check(self._images)
        return self._images

    def segmenter(self) -> Segmenter:
        """What turns a point into a mask."""
        if self._segmenter is None:
            self._segmenter = build_segmenter(self._settings.segmenter, self._settings.cache_dir)
        return self._segmenter

    def _options(self) -> EmbedderOptions:
        return self._settings.embedder.model_copy(update={"name": self._name})

    def _check(self, embedder: TextEmbedder) -> None:
        if embedder.dim != self._dim:
            raise EmbedderMismatchError(
                f"the index holds vectors of {self._dim} numbers, but the embedder "
                f"{embedder.name!r} makes vectors of {embedder.dim}"
            )
