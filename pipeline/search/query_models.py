"""Embeds and segments what queries show, with models that are loaded when first needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pipeline.search.same_object import unit
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError, UnknownModelError, UsageError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import EmbedderOptions
from schemas.points import IndexInfo
from schemas.records import Float32Vector
from schemas.search import (
    Example,
    FileExample,
    IndexedImageExample,
    SearchQuery,
    TextExample,
    UploadExample,
)
from workers.embedders.embed_objects import embed_masks
from workers.protocols import Embedder, TextEmbedder
from workers.registry import build_embedder, build_segmenter, build_text_embedder
from workers.segmenter_protocols import Segmenter


class QueryModels:
    """The embedder `embedder_name`, whose vectors have `dim` numbers, and a segmenter.

    `embedder`, if given, embeds both texts and images. Not thread-safe, but that `images` and
    `segmenter` may be called by any thread: each is loaded once.
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
        self._loading_images, self._loading_segmenter = threading.Lock(), threading.Lock()

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]:
        """One unit vector a text. Raises ModelError, UnknownModelError, EmbedderMismatchError."""
        return list(self.texts().embed_texts(texts))

    def knows_text(self, text: str) -> bool:
        """Whether the embedder has learnt what `text` says. Raises as `embed_texts` does."""
        return self.texts().knows_text(text)

    def embed_image(self, image: UInt8Image) -> Float32Vector:
        """The unit vector of a picture as it is. Raises as `embed_texts` does."""
        return unit(self.images().embed_images([image])[0])

    def embed_object(self, image: UInt8Image, mask: ObjectMask) -> Float32Vector:
        """The unit vector of an object, of the views that an ingest takes. Raises likewise."""
        return unit(embed_masks(image, [mask], self.images(), self._settings.embedder)[0])

    def mask_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask:
        """The mask at a point. Raises UsageError if there is none, or the point is outside."""
        mask = self.segmenter().segment_at(image, point_xy)
        if mask is None:
            x, y = point_xy
            raise UsageError(f"the segmenter finds nothing at {x:g},{y:g}")
        return mask

    def find_masks(self, image: UInt8Image) -> list[ObjectMask]:
        """The masks of all objects of a picture, largest first. Raises ModelError."""
        return self.segmenter().segment([image])[0]

    def load_for(self, query: SearchQuery) -> None:
        """Load the models that a query needs."""
        examples = (*query.wanted, *query.negative)
        if any(map(_needs_embedder, examples)):
            self.images()
        if any(map(_needs_segmenter, examples)):
            self.segmenter()
        if any(isinstance(item, TextExample) for item in examples):
            self.texts()

    def texts(self) -> TextEmbedder:
        """The embedder of texts."""
        if self._texts is None:
            self._texts = self._images or self._build_texts()
        self._check_dim(self._texts)
        return self._texts

    def _build_texts(self) -> TextEmbedder:
        try:
            return build_text_embedder(self._options())
        except UnknownModelError as exc:
            if self._name == self._settings.embedder.name:
                raise
            raise UnknownModelError(
                f"the vectors of this index were made by {self._name!r}, which objseek has not: "
                "search with a vector or an indexed object"
            ) from exc

    def images(self) -> Embedder:
        """The embedder of images."""
        with self._loading_images:
            if self._images is None:
                self._images = build_embedder(self._options())
        self._check_dim(self._images)
        return self._images

    def segmenter(self) -> Segmenter:
        """The segmenter that turns a point into a mask."""
        with self._loading_segmenter:
            if self._segmenter is None:
                options = self._settings.segmenter
                self._segmenter = build_segmenter(options, self._settings.cache_dir)
            return self._segmenter

    def _options(self) -> EmbedderOptions:
        return self._settings.embedder.model_copy(update={"name": self._name})

    def _check_dim(self, embedder: TextEmbedder) -> None:
        if embedder.dim != self._dim:
            raise EmbedderMismatchError(
                f"the index holds vectors of {self._dim} numbers, but the embedder "
                f"{embedder.name!r} makes vectors of {embedder.dim}"
            )


def _needs_embedder(example: Example) -> bool:
    # An indexed image has a vector, and so have the objects that boxes in it are drawn round.
    if isinstance(example, IndexedImageExample):
        return (example.point_xy or example.mask) is not None or example.exact_box
    return isinstance(example, FileExample | UploadExample)


def _needs_segmenter(example: Example) -> bool:
    # A box may be in an image whose objects the index holds.
    of_images = FileExample | UploadExample | IndexedImageExample
    return isinstance(example, of_images) and example.point_xy is not None


def choose_embedder(given: str | None, info: IndexInfo, settings: Settings) -> str:
    """The embedder to search with: the given one, else the one set, else the index's own.

    Raises UsageError if none is named and the index holds vectors of several embedders,
    EmbedderMismatchError unless the index holds those of the named one.
    """
    is_set = "name" in settings.embedder.model_fields_set
    named = given or (settings.embedder.name if is_set else None)
    held = [count.embedder for count in info.embedders]
    if named is None and len(held) > 1:
        raise UsageError(
            f"the index holds vectors of several embedders ({', '.join(held)}): "
            "name the one to search with"
        )
    if named is not None and held and named not in held:
        raise EmbedderMismatchError(
            f"the index was built with the embedder {', '.join(map(repr, held))}, "
            f"it cannot be searched with {named!r}"
        )
    return named or (held[0] if held else settings.embedder.name)
