"""Turns what a query names into vectors: texts, indexed objects, images and their regions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from cachetools import LRUCache

from pipeline.search.found_objects import find_image
from pipeline.search.picture_examples import PictureExamples, PictureModels
from pipeline.search.resolved_example import ResolvedExample
from pipeline.search.same_object import gather_object, unit
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.records import Float32Vector
from schemas.search import (
    Example,
    IndexedImageExample,
    ObjectExample,
    TextExample,
    VectorExample,
)
from workers.protocols import VectorIndex

_MAX_TEXTS = 4096  # in memory


class Models(PictureModels, Protocol):
    """The models that examples are resolved with."""

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]:
        """One vector a text."""
        ...


class Examples:
    """Resolves what queries name. `embedder_name`: whose vectors they are compared with."""

    def __init__(
        self,
        index: VectorIndex,
        models: Models,
        settings: Settings,
        embedder_name: str,
    ) -> None:
        self._index, self._models = index, models
        self._embedder_name = embedder_name
        self.pictures = PictureExamples(index, models, settings, embedder_name)
        self._texts: LRUCache[str, Float32Vector] = LRUCache(_MAX_TEXTS)

    def resolve(self, example: Example, max_overlap: float) -> ResolvedExample:
        """What `example` stands for.

        Raises UsageError, EmbedderMismatchError, ModelError, and what reading an image raises.
        """
        match example:
            case TextExample(text=text):
                return ResolvedExample(self.embed_texts([text])[0], example.weight)
            case ObjectExample(object_id=identity):
                return self._resolve_object(identity, example.weight, max_overlap)
            case VectorExample(vector=numbers):
                return ResolvedExample(self._parse_vector(numbers), example.weight)
            case IndexedImageExample(image_id=identity) if example.is_whole:
                whole = find_image(self._index, identity).id
                return self._resolve_object(whole, example.weight, 1.0)
            case _:
                return self.pictures.resolve(example)

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]:
        """Unit vectors of texts; the latest are kept. Raises UsageError for a blank one."""
        for text in texts:
            if not text.strip():
                raise UsageError("expected a text to search for, got a blank one")
        vectors = {text: self._texts[text] for text in texts if text in self._texts}
        missing = list(dict.fromkeys(text for text in texts if text not in vectors))
        if missing:
            fresh = self._models.embed_texts(missing)
            vectors.update(zip(missing, map(unit, fresh), strict=True))
        self._texts.update(vectors)
        return [vectors[text] for text in texts]

    def _parse_vector(self, numbers: Sequence[float]) -> Float32Vector:
        if len(numbers) != self._index.dim:
            raise UsageError(
                f"expected a vector of {self._index.dim} numbers, as the index holds, got one of "
                f"{len(numbers)}"
            )
        vector = np.array(numbers, np.float64)
        return unit((vector / np.abs(vector).max()).astype(np.float32))

    def _resolve_object(self, text: str, weight: float, max_overlap: float) -> ResolvedExample:
        same = gather_object(self._index, parse_object_id(text), max_overlap)
        if same is None:
            raise UsageError(f"the index holds no object {text}")
        embedder = same.own.payload["embedder"]
        if embedder != self._embedder_name:
            raise EmbedderMismatchError(
                f"the object {text} was embedded by {embedder!r}, "
                f"it cannot be compared with objects of {self._embedder_name!r}"
            )
        return ResolvedExample(same.vector, weight, same.overlapping)


def parse_object_id(text: str) -> uuid.UUID:
    """The id of an indexed object. Raises UsageError for another text."""
    try:
        return uuid.UUID(text)
    except ValueError as exc:
        raise UsageError(
            f"expected the id of an indexed object, as a search prints it, got {text!r}"
        ) from exc
