"""Searches an index by texts, images, regions, indexed objects, and all of these together."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import numpy as np

from pipeline.index_home import IndexHome
from pipeline.search.chosen_calibration import choose_calibration
from pipeline.search.collapse import collapse_alike
from pipeline.search.cursor import Cursor, take_page
from pipeline.search.found_objects import FoundObjects
from pipeline.search.hit_order import order_hits
from pipeline.search.kept_map import read_map
from pipeline.search.label_conditions import require_sure_labels
from pipeline.search.map_conditions import Regions, name_objects
from pipeline.search.named_query import resolve_named
from pipeline.search.picture_examples import Uploads
from pipeline.search.query_examples import Examples, parse_object_id
from pipeline.search.query_models import QueryModels, choose_embedder
from pipeline.search.relevance import Judge, find_surest
from pipeline.search.resolved_query import ResolvedQuery, resolve_query, stack_vectors
from pipeline.search.text_sums import TextSums
from pipeline.settings import Settings
from schemas.images import UInt8Image
from schemas.object_map import ObjectMap
from schemas.points import IndexInfo, IndexQuery, Point, SparseVector, TextSum
from schemas.search import (
    MAX_PAGED,
    Condition,
    SearchHit,
    SearchPage,
    SearchQuery,
    TextExample,
    VectorExample,
)
from schemas.sparse_terms import SparseTerms
from workers.indexes.bm25 import query_words
from workers.indexes.generations import FIRST
from workers.indexes.open import open_index
from workers.labelling.calibration import Calibration
from workers.protocols import Embedder, VectorIndex

_CANDIDATES = 30
"""Hits that are put in order together, or a multiple: fewer find less (docs/search.md)."""
_MOST_COLLAPSED, _TIMES_MORE = 500, 4
"""Candidates for a page without near-duplicates, and how many more where they are too few."""
_MOST_COUNTS = 1024  # remembered, by their conditions


def search(query: SearchQuery, settings: Settings) -> SearchPage:
    """The first hits of `query`, best first, in the index that `settings` names.

    Several queries are faster with one `Searcher`. Raises ObjseekError: UsageError for a query that
    cannot be answered, EmbedderMismatchError for vectors of another embedder, IndexMissingError,
    IndexBusyError, ModelError, and those of the object store for an image that is searched with.
    """
    with Searcher.open(settings) as searcher:
        return searcher.search(query)


class Searcher:
    """An open index with the models that belong to it; closes the index. Not thread-safe.

    It stays with its `generation`, whichever comes into use; `refreshes` is how often it has looked
    again at what the index holds. Labels with a score of at least
    `label_score` are taken for what is there.

    Without `embedder`, it is built when first needed: the one `settings` names, else the one that
    the index was built with. Raises EmbedderMismatchError unless the index holds the embedder's
    vectors, and UsageError if none is named and the index holds those of several. Raises what
    `choose_calibration` does.
    """

    def __init__(
        self,
        index: VectorIndex,
        embedder: Embedder | None = None,
        settings: Settings | None = None,
        generation: str = FIRST,
    ) -> None:
        self.index, self.generation = index, generation
        self.refreshes = 0
        self.settings = settings or Settings()
        self.info = index.info()
        given = embedder.name if embedder else None
        self.embedder_name = choose_embedder(given, self.info, self.settings)
        chosen = choose_calibration(index, self.embedder_name, self.settings, generation)
        self.models = QueryModels(self.settings, self.embedder_name, index.dim, embedder)
        self._regions: Regions = {}
        self._examples = Examples(index, self.models, self.settings, self.embedder_name)
        self.calibrate(chosen)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """A searcher of the index that `settings` names: of the generation that is in use now."""
        home = IndexHome.current(settings)
        if precision := home.pipelines.precision():
            settings = settings.with_precision(precision)
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

    def calibrate(self, calibration: Calibration) -> None:
        """From now on judge, and rank for texts, with another calibration of the embedder."""
        self.calibration = calibration
        self.label_score = calibration.label_score(self.settings.labels.min_probability)
        self._judge = Judge(self.index, calibration, self.models.knows_text)
        self._look_again()

    def refresh(self, info: IndexInfo | None = None) -> None:
        """Look again at what the index holds, or take `info`: something has been written to it."""
        self.info = self.index.info() if info is None else info
        self.refreshes += 1
        self._look_again()

    def _look_again(self) -> None:
        self.sums = TextSums(self.index, self.calibration, self.info)
        self._counts: dict[tuple[Condition, ...], int] = {}
        self._examples.pictures.forget()

    def take_uploads(self, uploads: Uploads) -> None:
        """From now on look `UploadExample`s up in `uploads`."""
        self._examples.pictures.uploads = uploads

    def remember(self, texts: Sequence[str]) -> None:
        """Embed texts together, for queries that follow. Raises UsageError for a blank one."""
        self._examples.embed_texts(texts)

    def prepare(self, query: SearchQuery) -> None:
        """Read the files and load the models now that `query` is going to need.

        Files first: one that is not there is told before models take their time.
        """
        if self.info.points:
            self._examples.pictures.read_files(query)
            self.models.load_for(query)

    def search(self, query: SearchQuery) -> SearchPage:
        """Best first, ties in a deterministic order; objects of the query itself are left out."""
        started = time.perf_counter()
        cursor = Cursor.parse(query) or Cursor(datetime.now(UTC))
        if not self.info.points:
            return SearchPage(())
        resolved = self.resolve(query)
        embedded = time.perf_counter()
        words = self._query_words(query)
        sums = self._choose_sums(query, with_words=words is not None)
        text_sum = sums.get(_find_lone_text(query) or "")
        nearest = self._index_query(query, resolved, words, text_sum, cursor)
        found = self.index.search(nearest)
        searched = time.perf_counter()
        hits, more = self._judge_page(found, query, resolved, cursor, sums)
        while query.collapse and len(found) == nearest.limit < _MOST_COLLAPSED and not more:
            # What is collapsed leaves room for others.
            nearest = replace(nearest, limit=min(_TIMES_MORE * nearest.limit, _MOST_COLLAPSED))
            found = self.index.search(nearest)
            hits, more = self._judge_page(found, query, resolved, cursor, sums)
        judged = time.perf_counter()
        after = cursor.advance(hits)
        more = more and bool(hits) and len(after.short_ids) < MAX_PAGED
        return SearchPage(
            hits=tuple(hits),
            cursor=after.encode(query) if more else None,
            relevance=find_surest(hits, query),
            hybrid=words is not None,
            regions=resolved.regions,
            copies=resolved.copies,
            seconds={
                "embed": embedded - started,
                "index": searched - embedded,
                "judge": judged - searched,
            },
        )

    def _judge_page(
        self,
        found: Sequence[SearchHit],
        query: SearchQuery,
        resolved: ResolvedQuery,
        cursor: Cursor,
        sums: Mapping[str, TextSum],
    ) -> tuple[list[SearchHit], bool]:
        """The page after the cursor: the likeliest of what was found; whether there is more."""
        if not _can_judge(query):
            return take_page(self._collapse(found, query, cursor), query, cursor)
        grouped, searched = query.group_size is not None, self._count_searched(query)
        if query.diversity:
            # The index chose a variety: only the order among its hits is that of the numbers.
            hits, more = take_page(self._collapse(found, query, cursor), query, cursor)
            hits = self._judge.judge(hits, query, resolved, sums=sums, searched=searched)
            return order_hits(hits, grouped=grouped), more
        judged = self._judge.judge(found, query, resolved, sums=sums, searched=searched)
        ordered = order_hits(judged, grouped=grouped)
        return take_page(self._collapse(ordered, query, cursor), query, cursor)

    def _collapse(
        self, hits: Sequence[SearchHit], query: SearchQuery, cursor: Cursor
    ) -> Sequence[SearchHit]:
        return collapse_alike(hits, self.index, cursor.has_shown) if query.collapse else hits

    def resolve(self, query: SearchQuery) -> ResolvedQuery:
        """The vector that a query stands for; see `resolve_query` and `resolve_named`."""
        if query.using is not None:
            return resolve_named(query, self.index.named_dims())
        return resolve_query(query, self._examples)

    def find_indexed(self, pixels: UInt8Image) -> FoundObjects:
        """Indexed images that a picture, uint8 (height, width, 3), is a copy of; see there.

        Objects are those of an exact copy.
        """
        if not self.info.points:
            return FoundObjects(())
        return self._examples.pictures.find_indexed(pixels)

    def complete(self, conditions: Iterable[Condition]) -> tuple[Condition, ...]:
        """Conditions as the index takes them: labels count if they are sure enough.

        Objects of a part of the map are named by their ids. Raises UsageError for another map.
        """
        sure = require_sure_labels(conditions, self.label_score)
        return name_objects(sure, self._read_map, self._regions)

    def _read_map(self) -> ObjectMap | None:
        return read_map(IndexHome.at(self.settings, self.generation))

    def find(self, object_id: str) -> Point | None:
        """The indexed object itself, or None if it does not exist. Raises UsageError."""
        identity = parse_object_id(object_id)
        return self.index.stored([identity]).get(identity)

    def _conditions(self, query: SearchQuery) -> tuple[Condition, ...]:
        conditions = list(self.complete(query.conditions))
        if query.wanted_kind is not None:
            conditions.append(Condition(field="kind", op="=", value=query.wanted_kind))
        if len(self.info.embedders) > 1 and query.using is None:
            conditions.append(Condition(field="embedder", op="=", value=self.embedder_name))
        return tuple(conditions)

    def _query_words(self, query: SearchQuery) -> SparseVector | None:
        if not (query.hybrid and self.info.has_words and query.strategy == "average_vector"):
            return None
        texts = [example.text for example in query.wanted if isinstance(example, TextExample)]
        return query_words(texts) if texts else None

    def _choose_sums(self, query: SearchQuery, *, with_words: bool) -> dict[str, TextSum]:
        """The sum of each text of a query, wanted or not."""
        if not _can_judge(query):
            return {}
        examples = (*query.wanted, *query.negative)
        texts = {example.text for example in examples if isinstance(example, TextExample)}
        return {text: self.sums.choose(text, with_words=with_words) for text in texts}

    def _count_searched(self, query: SearchQuery) -> int:
        """How many objects a query searches, as far as it matters for which texts are likely."""
        enough = self.calibration.likely.enough_objects
        if not (enough and any(isinstance(example, TextExample) for example in query.wanted)):
            return 0
        conditions = self._conditions(query)
        if conditions == (Condition(field="kind", op="=", value="object"),):
            return self.info.objects
        if conditions not in self._counts:
            if len(self._counts) >= _MOST_COUNTS:
                self._counts.clear()
            self._counts[conditions] = self.index.count_up_to(enough, conditions)
        return self._counts[conditions]

    def _index_query(
        self,
        query: SearchQuery,
        resolved: ResolvedQuery,
        words: SparseVector | None,
        text_sum: TextSum | None,
        cursor: Cursor,
    ) -> IndexQuery:
        conditions = self._conditions(query)
        if query.cursor is not None:
            conditions = (*conditions, cursor.condition)
        nearest = IndexQuery(
            resolved.vector,
            _count_candidates(query, cursor),
            conditions,
            query.min_score,
            query.group_size,
            query.max_overlap,
            words=words,
            sparse=_to_sparse(query.sparse),
            fusion=self.settings.search.fusion_weights,
            text_sum=text_sum,
            diversity=query.diversity,
            without=resolved.example_ids,
            using=query.using,
        )
        if query.strategy == "average_vector":
            return nearest
        return replace(
            nearest,
            liked=stack_vectors(resolved.positive),
            disliked=stack_vectors(resolved.negative),
        )


def _can_judge(query: SearchQuery) -> bool:
    """Whether calibrations say how likely hits are: nothing is known of vectors of others."""
    mine = any(isinstance(example, VectorExample) for example in (*query.wanted, *query.negative))
    return query.sparse is None and not mine


def _to_sparse(terms: SparseTerms | None) -> SparseVector | None:
    if terms is None:
        return None
    return SparseVector(np.array(terms.indices, np.uint32), np.array(terms.values, np.float32))


def _find_lone_text(query: SearchQuery) -> str | None:
    """The text that objects are searched for by alone: what one sum has been measured for."""
    if not query.hybrid or query.wanted_kind != "object" or query.strategy != "average_vector":
        return None
    if query.negative or query.group_size is not None or query.diversity:
        return None
    match query.wanted:
        case (TextExample() as example,):
            return example.text
        case _:
            return None


def _count_candidates(query: SearchQuery, cursor: Cursor) -> int:
    """How many hits the index is asked for, one more than are shown at least.

    Hits of earlier pages take part again: they stand for what overlaps them. Of more than a page
    the likeliest come first, so that pages follow each other in one order; that needs the same
    candidates for several pages.
    """
    shown = len(cursor.short_ids) + query.limit
    if query.diversity:
        return shown + 1
    return _CANDIDATES * math.ceil(shown / _CANDIDATES) + 1
