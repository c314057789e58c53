"""Implements an index over the operations on points that each kind provides."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Self

from schemas.errors import UsageError
from schemas.ids import IMAGE_ORDINAL, image_id
from schemas.named_vectors import require_places, stored_name
from schemas.payload import KEYWORD_FIELDS
from schemas.points import (
    EmbedderCount,
    FacetCount,
    IndexInfo,
    IndexQuery,
    Point,
    PointLabels,
)
from schemas.records import (
    SPARSE_NAME,
    VECTOR_NAME,
    WORDS_NAME,
    EmbeddedImage,
    Float32Matrix,
)
from schemas.search import Condition, SearchHit
from schemas.tags import ChangeTags, Tags
from workers.batching import batched
from workers.indexes import fencing, ranking
from workers.indexes.broken_points import BrokenPoints
from workers.indexes.filters import EVERY_POINT, Ids, Numbers, OneOf, PointFilter, point_filter
from workers.indexes.label_counts import count_sure_labels, most_frequent
from workers.indexes.operations import PointOperations
from workers.indexes.points import (
    added_points,
    batch_points,
    check_images,
    image_points,
    own_kinds,
    read_hits,
    read_webp,
)
from workers.indexes.tags import keep_tags, read_tags
from workers.protocols import VectorIndex

PointsOf = Callable[[str], Sequence[Point]]
"""Gives the points of an image by its id."""
_MAX_IDS = 1000  # of a request
_SURELY = 2  # times as many are more for certain, when an engine guesses


class PointIndex(PointOperations, VectorIndex):
    """A `VectorIndex`, where its methods are described, over `PointOperations`."""

    images_at_once = 64

    def __init__(self, dim: int, upsert_batch: int) -> None:
        self.dim = dim
        self._upsert_batch = upsert_batch
        self._broken = BrokenPoints()
        self._own_fields: set[str] = set()

    def replace_images(
        self, images: Sequence[EmbeddedImage], run_started_at: datetime | None = None
    ) -> set[uuid.UUID]:
        check_images(images, self.dim)
        now = datetime.now(UTC)
        started = run_started_at or now
        by_id = {str(image_id(image.ref)): image for image in images}
        return self.replace_all(
            list(by_id), lambda identity: image_points(by_id[identity], now, started), started
        )

    def replace_points(
        self, points: Mapping[uuid.UUID, Sequence[Point]], run_started_at: datetime
    ) -> set[uuid.UUID]:
        require_places(chain.from_iterable(points.values()), self.named_dims)
        for of_image in points.values():
            self._index_own_fields(of_image)
        return self.replace_all(
            list(map(str, points)), lambda identity: points[uuid.UUID(identity)], run_started_at
        )

    def replace_all(
        self, images: Sequence[str], points_of: PointsOf, run_started_at: datetime
    ) -> set[uuid.UUID]:
        """Put the points that each image has by `points_of` in place of whatever it had."""
        superseded = fencing.find_superseded(self, images, run_started_at)
        current = [identity for identity in images if identity not in superseded]
        points = [point for identity in current for point in points_of(identity)]
        if points:
            points = keep_tags(points, read_tags(self, OneOf("image_id", tuple(current))))
            superseded |= fencing.replace_points(
                self, current, points, run_started_at, self._upsert_batch
            )
        return set(map(uuid.UUID, superseded))

    def add_objects(self, image: EmbeddedImage, run_started_at: datetime) -> None:
        check_images([image], self.dim)
        points = added_points(image, datetime.now(UTC), run_started_at)
        points = keep_tags(points, read_tags(self, Ids(tuple(point.id for point in points))))
        fencing.upsert_points(self, points, run_started_at, self._upsert_batch)

    def delete_images(
        self, images: Sequence[uuid.UUID], run_started_at: datetime | None = None
    ) -> set[uuid.UUID]:
        return set(map(uuid.UUID, fencing.delete_images(self, [*map(str, images)], run_started_at)))

    def delete_points(self, ids: Sequence[str]) -> None:
        for batch in batched(ids, _MAX_IDS):
            self.delete(PointFilter(must=(Ids(tuple(batch)),)))
        self.flush()

    def search(self, query: IndexQuery) -> list[SearchHit]:
        found = ranking.search(self, query, self.dim, self.note_broken)
        return list(read_hits(found, self.note_broken))

    def neighbours(
        self,
        vectors: Float32Matrix,
        conditions: Sequence[Condition],
        limit: int,
        min_score: float,
    ) -> list[list[tuple[uuid.UUID, float]]]:
        where = self.prepare(point_filter(conditions))
        return self.find_neighbours(vectors, where, limit, ranking.just_below(min_score))

    def note_broken(self, point_id: str, reason: str) -> None:
        self._broken.note(point_id, reason)

    def count_broken(self) -> int:
        return len(self._broken)

    def stored(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Point]:
        # A video has thousands, and an answer holds the vector and mask of each.
        points = (point for batch in batched(ids, _MAX_IDS) for point in self.retrieve(batch))
        return {uuid.UUID(point.id): point for point in points if point.vector is not None}

    def vectors(
        self, ids: Sequence[uuid.UUID], *, dense: bool, words: bool, named: bool = False
    ) -> dict[uuid.UUID, Point]:
        names = [VECTOR_NAME] * dense + [WORDS_NAME] * (words and self.has_words())
        names += self._stored_names() if named else []
        batches = batched(ids, _MAX_IDS)
        points = (point for batch in batches for point in self.retrieve_vectors(batch, names))
        return {uuid.UUID(point.id): point for point in points}

    def thumbnails(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, bytes]:
        found = {}
        for batch in batched(ids, _MAX_IDS):
            for point in self.retrieve_thumbnails(batch):
                try:
                    webp = read_webp(point)
                except ValueError as exc:
                    self.note_broken(point.id, str(exc))
                    continue
                if webp is not None:
                    found[uuid.UUID(point.id)] = webp
        return found

    def scroll(self, conditions: Sequence[Condition] = ()) -> Iterator[Point]:
        return self.read_points(self.prepare(point_filter(conditions)), ())

    def scan(
        self,
        conditions: Sequence[Condition] = (),
        *,
        words: bool = False,
        sparse: bool = False,
        named: bool = False,
    ) -> Iterator[Point]:
        names = [VECTOR_NAME]
        names += [WORDS_NAME] * (words and self.has_words())
        names += [SPARSE_NAME] * (sparse and self.has_sparse())
        names += self._stored_names() if named else []
        return self.read_points(self.prepare(point_filter(conditions)), names)

    def sample(self, limit: int, conditions: Sequence[Condition] = ()) -> list[Point]:
        return self.sample_points(self.prepare(point_filter(conditions)), limit)

    def _stored_names(self) -> list[str]:
        return [*map(stored_name, self.named_dims())]

    def restore(self, points: Sequence[Point]) -> None:
        require_places(points, self.named_dims)
        self._index_own_fields(points)
        for batch in batch_points(points, self._upsert_batch):
            self.upsert(batch)
        self.flush()

    def _index_own_fields(self, points: Sequence[Point]) -> None:
        """Index those of the points' own fields that were not met before, by their first value."""
        found = own_kinds(points, self._own_fields)
        if found:
            self.index_own_fields(found)
            self._own_fields |= found.keys()

    def facet(
        self,
        field: str,
        conditions: Sequence[Condition] = (),
        limit: int = 20,
        least_score: float = 0.0,
    ) -> list[FacetCount]:
        if field not in KEYWORD_FIELDS:
            raise UsageError(
                f"expected one of {', '.join(KEYWORD_FIELDS)} to count by, got {field!r}"
            )
        if field == "labels" and least_score:
            return count_sure_labels(self, conditions, limit, least_score)
        return most_frequent(self.count_values(field, point_filter(conditions)), limit)

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        return self.count_points(point_filter(conditions))

    def count_up_to(self, most: int, conditions: Sequence[Condition] = ()) -> int:
        where = self.prepare(point_filter(conditions))
        if self.count_points(where, exact=False) >= _SURELY * most:
            return most
        return min(most, self.count_points(where))

    def relabel(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        for batch in batched(items, self._upsert_batch):
            self.set_labels(batch, labelled_by)
        self.flush()

    def change_tags(self, ids: Sequence[uuid.UUID], change: ChangeTags) -> dict[uuid.UUID, Tags]:
        self.require_writable()
        changed: dict[uuid.UUID, Tags] = {}
        for batch in batched(ids, _MAX_IDS):
            tags = self.set_tags(batch, change)
            changed |= {uuid.UUID(name): each for name, each in tags.items()}
        self.flush()
        return changed

    def info(self) -> IndexInfo:
        embedders = self.count_values("embedder")
        return IndexInfo(
            dim=self.dim,
            points=self.count_points(EVERY_POINT),
            objects=self.count_points(_of_kind("object")),
            images=self.count_points(_IMAGES),
            embedders=tuple(EmbedderCount(name, embedders[name]) for name in sorted(embedders)),
            segmenters=tuple(sorted(self.count_values("segmenter"))),
            pipelines=len(self.count_values("fingerprint")),
            size_bytes=self.size_bytes(),
            label_lists=self.count_values("labelled_by"),
            has_words=self.has_words(),
            has_sparse=self.has_sparse(),
            named_dims=self.named_dims(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


_IMAGES = PointFilter(must=(OneOf("kind", ("image",)), Numbers("ordinal", IMAGE_ORDINAL, ("lte",))))
"""Videos have a point a shot, of which the first has an image's ordinal."""


def _of_kind(kind: str) -> PointFilter:
    return PointFilter(must=(OneOf("kind", (kind,)),))
