"""Search an index by texts, images, regions of them, indexed objects, and all of these together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

import numpy as np

from pipeline.index_home import IndexHome
from pipeline.search.cursor import Cursor, short_id
from pipeline.search.query_examples import Examples, Resolved, Uploads, object_uuid
from pipeline.search.query_models import QueryModels
from pipeline.search.relevance import Judge
from pipeline.search.same_object import unit
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.masks import ObjectMask
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import (
    MAX_PAGED,
    Condition,
    FileExample,
    IndexedImageExample,
    IndexInfo,
    IndexQuery,
    SearchHit,
    SearchPage,
    SearchQuery,
    TextExample,
    UploadExample,
    Words,
)
from workers.indexes.bm25 import query_words
from workers.indexes.generations import FIRST
from workers.indexes.open import open_index
from workers.protocols import Embedder, VectorIndex

NEGATIVE_WEIGHT = 0.5


def search(query: SearchQuery, settings: Settings) -> SearchPage:
    """The first hits of `query`, best first, in the index that `settings` names.

    Several queries are faster with one `Searcher`. Raises ObjseekError: UsageError for what cannot
    be asked, EmbedderMismatchError for vectors of another embedder, IndexMissingError,
    IndexBusyError, ModelError, and those of the object store for an image that is searched with.
    """
    with Searcher.open(settings) as searcher:
        return searcher.search(query)


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A query with its examples looked at. `vector` is unit, float32 (dim,)."""

    vector: Float32Vector
    positive: tuple[Resolved, ...]
    negative: tuple[Resolved, ...]

    @property
    def covered(self) -> frozenset[str]:
        """What is no hit because it was asked with."""
        return frozenset().union(*(one.covered for one in (*self.positive, *self.negative)))

    @property
    def masks(self) -> list[ObjectMask | None]:
        """Of each positive example, the region that was looked at."""
        return [one.mask for one in self.positive]


class Searcher:
    """An open index with the models that belong to it; closes the index. Not thread-safe.

    It stays with its `generation`, whichever comes into use.

    Without `embedder` it is built when first needed: the one `settings` names, else the one that
    the index was built with. Raises EmbedderMismatchError unless the index holds the embedder's
    vectors, and UsageError if none is named and the index holds those of several.
    """

    def __init__(
        self,
        index: VectorIndex,
        embedder: Embedder | None = None,
        settings: Settings | None = None,
        generation: str = FIRST,
    ) -> None:
        self.index, self.generation = index, generation
        self.settings = settings or Settings()
        self.info = index.info()
        self._named = embedder.name if embedder else _named_embedder(self.settings)
        self.embedder_name = _chosen_embedder(self._named, self.info, self.settings)
        self.models = QueryModels(self.settings, self.embedder_name, index.dim, embedder)
        self._examples = Examples(index, self.models, self.settings, self.embedder_name)
        self._judge = Judge(index, self.embedder_name)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """A searcher of the index that `settings` names: of the generation that is in use now."""
        home = IndexHome.current(settings)
        index = open_index(home.index, None)
        try:
            return cls(index, settings=settings, generation=home.generation)
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def refresh(self) -> None:
        """Look again at what the index holds: something has been written to it."""
        self.info = self.index.info()

    def take_uploads(self, uploads: Uploads) -> None:
        """From now on `UploadExample`s are looked up there."""
        self._examples.uploads = uploads

    def remember(self, texts: Sequence[str]) -> None:
        """Embed texts together, for queries that follow. Raises UsageError for a blank one."""
        self._examples.text_vectors(texts)

    def prepare(self, query: SearchQuery) -> None:
        """Load the models now that `query` is going to need."""
        if not self.info.points:
            return
        examples = (*query.wanted, *query.negative)
        of_images = (FileExample, UploadExample, IndexedImageExample)
        if any(isinstance(one, of_images) for one in examples):
            self.models.images()
        if any(isinstance(one, of_images) and one.point_xy is not None for one in examples):
            self.models.segmenter()
        if any(isinstance(one, TextExample) for one in examples):
            self.models.texts()

    def search(self, query: SearchQuery) -> SearchPage:
        """Best first, ties in a deterministic order; things that were asked with are left out."""
        started = time.perf_counter()
        cursor = Cursor.of(query) or Cursor(datetime.now(UTC))
        if not self.info.points:
            return SearchPage(())
        wanted = self.look_at(query)
        looked = time.perf_counter()
        words = self._words(query)
        asked = self._index_query(query, wanted, words, cursor)
        found = self.index.search(asked)
        hits, more = _page(found, query, cursor)
        searched = time.perf_counter()
        alone = len(wanted.positive) == 1 and not wanted.negative
        pairs = list(zip(query.wanted, wanted.positive, strict=True))
        hits, relevance = self._judge.judged(hits, pairs, alone)
        judged = time.perf_counter()
        after = cursor.after([hit.object_id for hit in hits])
        more = more and bool(hits) and len(after.shown) < MAX_PAGED
        return SearchPage(
            hits=tuple(hits),
            cursor=after.encoded(query) if more else None,
            relevance=relevance,
            hybrid=words is not None,
            regions=tuple(wanted.masks),
            seconds={
                "embed": looked - started,
                "index": searched - looked,
                "judge": judged - searched,
            },
        )

    def look_at(self, query: SearchQuery) -> Wanted:
        """The examples of a query, and the vector that they stand for together.

        The mean of what is wanted, less half of the mean of what is not: `unit(q - 0.5 n)` with q
        and n means of unit vectors by weight. It is the direction of Qdrant's `average_vector`,
        2q - n, and Rocchio's relevance feedback (J. J. Rocchio, "Relevance feedback in information
        retrieval", 1971), whose usual weight of 0.15 hardly moves CLIP's texts, which all lie in a
        narrow cone. Raises UsageError for examples that leave nothing.
        """
        resolved = [self._examples.resolve(one, query.max_overlap) for one in query.wanted]
        against = [self._examples.resolve(one, query.max_overlap) for one in query.negative]
        vector = _mean(resolved)
        if against:
            vector = vector - NEGATIVE_WEIGHT * _mean(against)
        if not np.linalg.norm(vector) > 1e-6:
            raise UsageError("expected examples that differ from what is not wanted, got the same")
        return Wanted(unit(vector), tuple(resolved), tuple(against))

    def find(self, object_id: str) -> SearchHit | None:
        """The indexed object itself, or None if it is not there."""
        identity = object_uuid(object_id)
        found = self.index.stored([identity]).get(identity)
        return None if found is None else found.point

    def conditions(self, query: SearchQuery) -> tuple[Condition, ...]:
        """All conditions that hits meet."""
        conditions = list(query.conditions)
        if query.kind is not None:
            conditions.append(Condition(field="kind", op="=", value=query.kind))
        if len(self.info.embedders) > 1:
            conditions.append(Condition(field="embedder", op="=", value=self.embedder_name))
        return tuple(conditions)

    def _words(self, query: SearchQuery) -> Words | None:
        if not (query.hybrid and self.info.has_words and query.strategy == "average_vector"):
            return None
        texts = [one.text for one in query.wanted if isinstance(one, TextExample)]
        return query_words(texts) if texts else None

    def _index_query(
        self, query: SearchQuery, wanted: Wanted, words: Words | None, cursor: Cursor
    ) -> IndexQuery:
        conditions = self.conditions(query)
        if query.cursor is not None:
            conditions = (*conditions, cursor.condition)
        asked = IndexQuery(
            wanted.vector,
            # What was shown takes part again: it stands for what overlaps it.
            len(cursor.shown) + query.limit + 1,
            conditions,
            query.min_score,
            query.group_size,
            query.max_overlap,
            words=words,
            diversity=query.diversity,
            without=wanted.covered,
        )
        if query.strategy == "average_vector":
            return asked
        return replace(asked, liked=_rows(wanted.positive), disliked=_rows(wanted.negative))


def _page(
    found: Sequence[SearchHit], query: SearchQuery, cursor: Cursor
) -> tuple[list[SearchHit], bool]:
    """What was found and not shown, as much as was asked for; whether there is more."""
    shown = set(cursor.shown)
    fresh = [hit for hit in found if short_id(hit.object_id) not in shown]
    if query.group_size is None:
        return fresh[: query.limit], len(fresh) > query.limit
    known = {hit.payload.image_id for hit in found if short_id(hit.object_id) in shown}
    fresh = [hit for hit in fresh if hit.payload.image_id not in known]
    images = list(dict.fromkeys(hit.payload.image_id for hit in fresh))
    chosen = set(images[: query.limit])
    return [hit for hit in fresh if hit.payload.image_id in chosen], len(images) > query.limit


def _mean(examples: Sequence[Resolved]) -> Float32Vector:
    weights = np.array([one.weight for one in examples])
    # The least of them are zero in float32, and so would be all.
    weights = (weights / weights.max()).astype(np.float32)
    mean: Float32Vector = weights @ np.stack([one.vector for one in examples]) / weights.sum()
    return mean


def _rows(examples: Sequence[Resolved]) -> Float32Matrix | None:
    return np.stack([one.vector for one in examples]) if examples else None


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
