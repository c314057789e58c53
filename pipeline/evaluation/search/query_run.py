"""Answers judged queries as a search does, and judges what it finds."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from pipeline.evaluation.search.judging import Answers, judge_hits
from pipeline.evaluation.search.query_file import JudgedQuery, QueryLine
from pipeline.evaluation.search.query_result import JudgedHit, QueryResult, Verdict
from pipeline.evaluation.search.true_objects import Target, TrueObjects, list_images_under
from pipeline.search.searcher import Searcher
from schemas.errors import UsageError
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.overlaps import mask_iou
from schemas.payload import PointPayload
from schemas.points import Point
from schemas.search import (
    Condition,
    Example,
    FileExample,
    IndexedImageExample,
    ObjectExample,
    SearchHit,
    SearchPage,
    SearchQuery,
    TextExample,
)
from workers.batching import batched
from workers.indexes.points import sound_mask_of

_EMBEDDED_AT_ONCE = 256
_MOST_FILTERS = 64  # remembered
# Where an image is and what made it: an image that a filter on these leaves out is not looked in.
# What an object is like is for the search to find out.
_OF_IMAGES = frozenset(
    ("store", "bucket", "key", "uri", "image_id", "version", "generation", "fingerprint",
     "segmenter", "embedder", "width", "height", "ingested_at", "run_started_at")
)  # fmt: skip


@dataclass(slots=True)
class QueryRun:
    """Asks a searcher queries, `limit` hits each.

    `truth` knows where labels are; `least_iou` is from which overlap on a hit shows something.
    `unknown_ids` are right objects that the index did not have, so that they were never found.
    """

    searcher: Searcher
    truth: TrueObjects | None = None
    limit: int = 10
    least_iou: float = 0.5
    unknown_ids: list[str] = field(default_factory=list)
    _images_under: LRUCache[tuple[Condition, ...], set[str]] = field(
        default_factory=lambda: LRUCache(_MOST_FILTERS)
    )

    def check(self, lines: Sequence[QueryLine]) -> None:
        """Raise DatasetError for a query with labels that the truth does not have, or without it.

        Before any is asked: that may take long.
        """
        for line in lines:
            labels = line.query.right.labels
            if labels and self.truth is None:
                raise line.error(f"expected --truth FILE for the labels {', '.join(labels)}")
            for label in labels:
                if self.truth is not None and label not in self.truth.labels:
                    raise line.error(f"expected labels of the ground truth, got {label!r}")

    def run(self, lines: Sequence[QueryLine]) -> Iterator[QueryResult]:
        """The result of each, in their order.

        Raises DatasetError that names the line of one that cannot be asked, and what searches do.
        """
        for batch in batched(lines, _EMBEDDED_AT_ONCE):
            texts = [line.query.text for line in batch if line.query.text is not None]
            self.searcher.remember(texts)
            for line in batch:
                try:
                    yield self._ask(line)
                except UsageError as exc:
                    raise line.error(exc) from exc

    def _ask(self, line: QueryLine) -> QueryResult:
        query = line.query
        page = self.searcher.search(
            SearchQuery(
                positive=(self._to_example(query),),
                limit=self.limit,
                conditions=query.conditions,
            )
        )
        answers = self._find_answers(query, self._find_own(query, page))
        verdicts = judge_hits(page.hits, answers)
        hits = tuple(map(self._describe, page.hits, verdicts))
        learnt = query.text is None or self.searcher.models.knows_text(query.text)
        return QueryResult(
            line.number, line.name, query.kind, answers.wanted, hits, page.relevance, learnt
        )

    def _to_example(self, query: JudgedQuery) -> Example:
        if query.text is not None:
            return TextExample(text=query.text)
        if query.object is not None:
            return ObjectExample(object_id=query.object)
        assert query.image is not None
        identity = self._find_indexed(query.image)
        # The same, without reading and embedding the image to find out that it is there.
        if identity is not None:
            return IndexedImageExample(image_id=identity, box_xyxy=query.box_xyxy)
        return FileExample(path=query.image, box_xyxy=query.box_xyxy)

    def _find_indexed(self, location: str) -> str | None:
        """The id of the indexed image at a path or uri, None if the index does not have it."""
        if "://" not in location:
            location = ImageRef("file", "", os.path.abspath(location), "", 0).uri
        try:
            identity = str(image_id(ImageRef.from_uri(location, "", 0)))
        except ValueError:
            return None
        condition = Condition(field="image_id", op="=", value=identity)
        return identity if list_images_under(self.searcher.index, [condition]) else None

    def _find_own(self, query: JudgedQuery, page: SearchPage) -> Target | None:
        """The indexed object that is searched with, and its image; None for a text."""
        if query.object is not None:
            return self._to_target(query.object, self.searcher.find(query.object))
        region = page.regions[0] if page.regions else None
        if region is None or query.image is None:
            return None
        if region.object_id is not None:
            return self._to_target(region.object_id, self.searcher.find(region.object_id))
        return Target(self._find_indexed(query.image), region.mask.rle)

    def _find_answers(self, query: JudgedQuery, own: Target | None) -> Answers:
        right = query.right
        targets = self._find_objects(right.objects)
        if not right.labels or self.truth is None:
            return Answers(targets, self.least_iou, None, own)
        within = self._list_images(query.conditions)
        for label in dict.fromkeys(right.labels):
            targets += [
                each.to_target()
                for each in self.truth.list_objects(label)
                if (own is None or each.image_id != own.image_id)
                and (within is None or each.image_id in within)
            ]
        return Answers(targets, self.least_iou, self.truth, own)

    def _find_objects(self, ids: Sequence[str]) -> list[Target]:
        """What right ids stand for: several masks of one object are one."""
        points = self.searcher.index.stored([uuid.UUID(identity) for identity in ids])
        targets: list[Target] = []
        for identity in ids:
            point = points.get(uuid.UUID(identity))
            if point is None:
                self.unknown_ids.append(identity)
            target = self._to_target(identity, point)
            if not any(self._is_same(target, other) for other in targets):
                targets.append(target)
        return targets

    def _to_target(self, identity: str, point: Point | None) -> Target:
        if point is None:
            return Target(None, None, identity)
        rle = sound_mask_of(point, self.searcher.index.note_broken)
        image, t_key = str(point.payload.get("image_id")), point.payload.get("t_key")
        return Target(image, rle, identity, t_key=t_key)

    def _is_same(self, target: Target, other: Target) -> bool:
        if (target.image_id, target.t_key) != (other.image_id, other.t_key):
            return False
        if target.rle is None or other.rle is None:
            return False
        return bool(mask_iou([target.rle], [other.rle])[0, 0] >= self.least_iou)

    def _list_images(self, conditions: Sequence[Condition]) -> set[str] | None:
        """The images that a filter looks in; None: in all."""
        of_images = tuple(each for each in conditions if each.field in _OF_IMAGES)
        if not of_images:
            return None
        if of_images not in self._images_under:
            self._images_under[of_images] = list_images_under(self.searcher.index, of_images)
        return self._images_under[of_images]

    def _describe(self, hit: SearchHit, verdict: Verdict) -> JudgedHit:
        return JudgedHit(
            hit.object_id, hit.payload.uri, self._name(hit.payload), hit.probability, verdict
        )

    def _name(self, payload: PointPayload) -> str | None:
        if self.truth is None or not self.truth.covers(payload.image_id):
            return payload.segmenter_label or next(iter(payload.labels or ()), None)
        rle = payload.sound_mask()
        if rle is None:
            return None
        return self.truth.name_object(payload.image_id, rle, self.least_iou)
