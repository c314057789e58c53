"""Groups near-duplicates in an index: each group is a star, of which every member is like one.

Groups could also be whatever is connected by pairs that are alike. Of many images such chains join
what is not alike at all, and nobody could delete all but one of a group and keep what it shows. In
a star each member is as alike as was asked for to the one that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.search.alike import Thumbnails
from pipeline.search.same_object import has_length, unit
from schemas.errors import VectorIndexError
from schemas.payload import Kind, PointPayload
from schemas.points import Point, ScoredPoint
from schemas.search import MAX_OVERLAP, Condition
from workers.indexes.ranking import drop_overlapping, sort_by_score
from workers.protocols import VectorIndex

_AT_ONCE = 64
_FIRST_NEIGHBOURS, _MOST_NEIGHBOURS = 16, 16_384
_ID_BYTES = 16

Report = Callable[[int, int], None]
"""Takes how many points were compared, and of how many."""


@dataclass(frozen=True, slots=True)
class AlikePoint:
    """A point of a group: where it is, what it shows, and its cosine to the one that is kept."""

    object_id: str
    image_id: str
    uri: str
    bbox_xyxy: tuple[int, int, int, int]
    size_wh: tuple[int, int]
    labels: tuple[str, ...]
    similarity: float


@dataclass(frozen=True, slots=True)
class AlikeGroup:
    """Points that show the same: the one to keep, the largest, and others, the likest first."""

    kept: AlikePoint
    others: tuple[AlikePoint, ...]

    def __len__(self) -> int:
        return 1 + len(self.others)

    @property
    def points(self) -> tuple[AlikePoint, ...]:
        """All of them, the one to keep first."""
        return (self.kept, *self.others)


class NearDuplicates:
    """Finds groups of near-duplicates of one kind, under conditions.

    `min_score` is the least cosine, `least_blind` that of points without thumbnails. Memory holds
    an id and a size of every point, and what is in groups.
    """

    def __init__(
        self,
        index: VectorIndex,
        kind: Kind,
        conditions: Sequence[Condition],
        min_score: float,
        least_blind: float,
    ) -> None:
        self._index, self._min_score, self._least_blind = index, min_score, least_blind
        of_kind = Condition(field="kind", op="=", value=kind)
        self._conditions = (of_kind, *conditions)
        self._thumbnails = Thumbnails(index)
        self._taken: set[str] = set()

    def find(self, report: Report = lambda compared, total: None) -> Iterator[AlikeGroup]:
        """The groups, those of the largest images or objects first. Raises what the index does."""
        order = self._list_ids()
        for start in range(0, len(order), _AT_ONCE):
            report(start, len(order))
            wanted = [UUID(bytes=bytes(row)) for row in order[start : start + _AT_ONCE]]
            yield from self._group([each for each in wanted if str(each) not in self._taken])
        report(len(order), len(order))

    def _list_ids(self) -> npt.NDArray[np.uint8]:
        """uint8 (n, 16): the ids of all points, the largest first, ties by id."""
        ids, sizes = bytearray(), []
        for point in self._index.scroll(self._conditions):
            ids += UUID(point.id).bytes
            sizes.append(_measure(point))
        rows = np.frombuffer(bytes(ids), np.uint8).reshape(-1, _ID_BYTES)
        low, high = rows[:, 8:].copy().view(">u8")[:, 0], rows[:, :8].copy().view(">u8")[:, 0]
        ordered: npt.NDArray[np.uint8] = rows[np.lexsort((low, high, -np.array(sizes, np.int64)))]
        return ordered

    def _group(self, centres: Sequence[UUID]) -> Iterator[AlikeGroup]:
        found = self._index.vectors(centres, dense=True, words=False) if centres else {}
        vectors = {
            name: unit(found[name].vector)  # type: ignore[arg-type]
            for name in centres
            if name in found and has_length(found[name].vector)
        }
        if not vectors:
            return
        rows = np.stack(list(vectors.values()))
        near = self._find_near(rows, _FIRST_NEIGHBOURS)
        for name, row, scored in zip(vectors, rows, near, strict=True):
            if str(name) in self._taken:
                continue
            limit = _FIRST_NEIGHBOURS
            while len(scored) == limit < _MOST_NEIGHBOURS:
                limit *= 4
                (scored,) = self._find_near(row[None], limit)
            if group := self._build(str(name), dict(scored)):
                yield group

    def _find_near(
        self, rows: npt.NDArray[np.float32], limit: int
    ) -> list[list[tuple[UUID, float]]]:
        return self._index.neighbours(rows, self._conditions, limit, self._min_score)

    def _build(self, centre: str, scores: dict[UUID, float]) -> AlikeGroup | None:
        """The group around a point, None where nothing is alike; its members are taken."""
        others = {
            str(name): score
            for name, score in scores.items()
            if str(name) not in self._taken and str(name) != centre
        }
        if not others:
            return None
        alike = self._thumbnails.select_alike(centre, others, self._least_blind)
        if not alike:
            return None
        stored = self._index.stored([UUID(centre), *map(UUID, alike)])
        if UUID(centre) not in stored:
            return None
        own = _score(stored.pop(UUID(centre)), np.inf)
        points = [own, *(_score(point, scores[name]) for name, point in stored.items())]
        self._taken |= {point.id for point in points}
        apart = drop_overlapping(sort_by_score(points), MAX_OVERLAP, self._index.note_broken)
        described = [each for point in apart if (each := self._describe(point)) is not None]
        if len(described) < 2 or described[0].object_id != centre:
            return None
        return AlikeGroup(described[0], tuple(described[1:]))

    def _describe(self, point: ScoredPoint) -> AlikePoint | None:
        try:
            payload: PointPayload = point.parse_payload()
        except VectorIndexError as exc:
            self._index.note_broken(point.id, str(exc))
            return None
        return AlikePoint(
            object_id=point.id,
            image_id=payload.image_id,
            uri=payload.uri,
            bbox_xyxy=payload.bbox,
            size_wh=(payload.width, payload.height),
            labels=payload.labels or (),
            similarity=min(point.score, 1.0),
        )


def _score(point: Point, score: float) -> ScoredPoint:
    return ScoredPoint(point.id, point.payload, score=score)


def _measure(point: Point) -> int:
    """Pixels of an image, or of an object."""
    area = point.payload.get("area")
    return area if isinstance(area, int) else 0
