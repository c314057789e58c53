"""Search an index by text, by an image or a region of one, or by an indexed object."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Self

import numpy as np

from pipeline.pictures import query_image
from pipeline.settings import Settings
from pipeline.thing import Thing, thing_of, unit
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.images import DecodedImage
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions
from schemas.records import Float32Vector
from schemas.search import Condition, IndexInfo, IndexQuery, SearchHit, SearchQuery
from workers.crops import object_views, square_image
from workers.indexes import open_index
from workers.protocols import Embedder, TextEmbedder, VectorIndex
from workers.registry import build_embedder, build_text_embedder

NEGATIVE_WEIGHT = 0.5


def search(query: SearchQuery, settings: Settings) -> list[SearchHit]:
    """Best first: the hits of `query` in the index that `settings` names.

    Several queries are faster with one `Searcher`. Raises ObjseekError: UsageError for what cannot
    be asked, EmbedderMismatchError for vectors of another embedder, IndexMissingError,
    IndexBusyError, ModelError, and those of the object store for an image that is searched with.
    """
    with Searcher.open(settings) as searcher:
        return searcher.search(query)


class Searcher:
    """An open index with the embedder that belongs to it; closes the index. Not thread-safe.

    Without `embedder` it is built when first needed: the one `settings` names, else the one that
    the index was built with. Raises EmbedderMismatchError unless the index holds its vectors, and
    UsageError if none is named and the index holds those of several.
    """

    def __init__(
        self, index: VectorIndex, embedder: Embedder | None = None, settings: Settings | None = None
    ) -> None:
        self.index = index
        self._settings = settings or Settings()
        self._embedder = embedder
        self._text_embedder: TextEmbedder | None = None
        self._info = index.info()
        named = embedder.name if embedder else _named_embedder(self._settings)
        self.embedder_name = _chosen_embedder(named, self._info, self._settings)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """A searcher of the index that `settings` names."""
        index = open_index(settings.index, None)
        try:
            return cls(index, settings=settings)
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def prepare(self, query: SearchQuery) -> None:
        """Load the models now that `query` is going to need."""
        if self._info.points and query.image_path is not None:
            self._images_embedder()
        if self._info.points and (query.text is not None or query.negative_text is not None):
            self._texts_embedder()

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Best first, ties in a deterministic order; the thing of `query.like` is left out."""
        if not self._info.points:
            return []
        conditions = self._conditions(query)
        if query.like is None:
            return self._nearest(self.query_vector(query), query, conditions, query.limit)
        thing = self._thing(query.like, query.max_overlap)
        vector = self._without_negative(thing.vector, query)
        hits = self._nearest(vector, query, conditions, query.limit + len(thing.covered))
        others = [hit for hit in hits if hit.object_id not in thing.covered]
        if query.group_by_image and len(others) < len(hits):
            # The object stood for its image: the next best thing there takes its place.
            there = Condition(field="image_id", op="=", value=thing.own.payload.image_id)
            everything = query.model_copy(update={"group_by_image": False})
            few = len(thing.covered) + 1
            found = self._nearest(vector, everything, (*conditions, there), few)
            others += [hit for hit in found if hit.object_id not in thing.covered][:1]
            others.sort(key=lambda hit: (-hit.score, hit.object_id))
        return others[: query.limit]

    def query_vector(self, query: SearchQuery) -> Float32Vector:
        """The unit vector, float32 (dim,), that `query` stands for.

        A negative text is subtracted: `unit(q - 0.5 n)` with unit vectors q and n. This is
        Rocchio's relevance feedback (J. J. Rocchio, "Relevance feedback in information retrieval",
        1971) with one irrelevant document. His usual weight of 0.15 hardly moves CLIP's texts,
        which all lie in a narrow cone; 0.5 does, and as both are unit vectors the difference is
        never shorter than 0.5.
        """
        if query.text is not None:
            positive = self._text_vector(query.text)
        elif query.image_path is not None:
            positive = self._image_vector(self.picture_of(query), query)
        else:
            positive = self._thing(str(query.like), query.max_overlap).vector
        return self._without_negative(positive, query)

    def picture_of(self, query: SearchQuery) -> DecodedImage:
        """The whole image of a query by image. Raises UsageError, BadImageError, StoreError."""
        if query.image_path is None:
            raise UsageError("expected a query by image")
        return query_image(query.image_path, self._settings)

    def find(self, object_id: str) -> SearchHit | None:
        """The indexed object itself, or None if it is not there."""
        identity = _object_id(object_id)
        found = self.index.stored([identity]).get(identity)
        return None if found is None else found.point

    def _nearest(
        self,
        vector: Float32Vector,
        query: SearchQuery,
        conditions: Sequence[Condition],
        limit: int,
    ) -> list[SearchHit]:
        return self.index.search(
            IndexQuery(
                vector,
                limit,
                tuple(conditions),
                query.min_score,
                query.group_by_image,
                query.max_overlap,
            )
        )

    def _conditions(self, query: SearchQuery) -> tuple[Condition, ...]:
        conditions = list(query.conditions)
        if query.kind is not None:
            conditions.append(Condition(field="kind", op="=", value=query.kind))
        if len(self._info.embedders) > 1:
            conditions.append(Condition(field="embedder", op="=", value=self.embedder_name))
        return tuple(conditions)

    def _images_embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = build_embedder(self._embedder_options())
        self._check(self._embedder)
        return self._embedder

    def _texts_embedder(self) -> TextEmbedder:
        if self._text_embedder is None:
            self._text_embedder = self._embedder or build_text_embedder(self._embedder_options())
        self._check(self._text_embedder)
        return self._text_embedder

    def _embedder_options(self) -> EmbedderOptions:
        return self._settings.embedder.model_copy(update={"name": self.embedder_name})

    def _check(self, embedder: TextEmbedder) -> None:
        if embedder.dim != self.index.dim:
            raise EmbedderMismatchError(
                f"the index holds vectors of {self.index.dim} numbers, but the embedder "
                f"{embedder.name!r} makes vectors of {embedder.dim}"
            )

    def _text_vector(self, text: str) -> Float32Vector:
        if not text.strip():
            raise UsageError("expected a text to search for, got a blank one")
        return unit(self._texts_embedder().embed_texts([text])[0])

    def _image_vector(self, image: DecodedImage, query: SearchQuery) -> Float32Vector:
        options = self._settings.embedder
        if query.box_xyxy is None:
            views = [square_image(image.pixels, options.cutout_fill)]
        else:
            mask = box_mask(query.box_xyxy, image.size_hw)
            views = object_views(image.pixels, mask, options)
        vectors = self._images_embedder().embed_images(views)
        return unit(vectors.mean(axis=0))

    def _without_negative(self, vector: Float32Vector, query: SearchQuery) -> Float32Vector:
        if query.negative_text is None:
            return vector
        return unit(vector - NEGATIVE_WEIGHT * self._text_vector(query.negative_text))

    def _thing(self, text: str, max_overlap: float) -> Thing:
        thing = thing_of(self.index, _object_id(text), max_overlap)
        if thing is None:
            raise UsageError(f"the index holds no object {text}")
        if thing.own.payload.embedder != self.embedder_name:
            raise EmbedderMismatchError(
                f"the object {text} was embedded by {thing.own.payload.embedder!r}, "
                f"it cannot be compared with objects of {self.embedder_name!r}"
            )
        return thing


def box_mask(box_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int]) -> ObjectMask:
    """A region, pixels and half-open, as the mask that fills it. Raises UsageError."""
    x0, y0, x1, y1 = box_xyxy
    height, width = size_hw
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UsageError(
            f"expected a box x0,y0,x1,y1 within the image's {width} x {height} pixels, "
            f"got {x0},{y0},{x1},{y1}"
        )
    mask = np.zeros(size_hw, np.bool_)
    mask[y0:y1, x0:x1] = True
    return ObjectMask(
        rle=CocoRle.from_mask(mask),
        bbox_xyxy=box_xyxy,
        area_px=(x1 - x0) * (y1 - y0),
        predicted_iou=1.0,
        stability_score=1.0,
        point_xy=((x0 + x1) / 2, (y0 + y1) / 2),
    )


def _object_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as exc:
        raise UsageError(
            f"expected the id of an indexed object, as a search prints it, got {text!r}"
        ) from exc


def _named_embedder(settings: Settings) -> str | None:
    return settings.embedder.name if "name" in settings.embedder.model_fields_set else None


def _chosen_embedder(named: str | None, info: IndexInfo, settings: Settings) -> str:
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
