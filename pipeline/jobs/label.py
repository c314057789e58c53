"""Gives the objects of an index other labels, without embedding anything again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.index_home import IndexHome
from pipeline.progress import Progress
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.labels import Label, Naming
from schemas.payload import PointPayload, best_labels
from schemas.points import Point, PointLabels
from schemas.search import Condition
from workers.batching import batched
from workers.indexes.bm25 import words_of
from workers.labelling.labeller import Labeller, build_labeller
from workers.protocols import VectorIndex

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """What became of the points of an index. `unchanged` had these labels before."""

    labelled: int
    unchanged: int
    labels: int


def label(settings: Settings, progress: Progress | None = None) -> LabelSummary:
    """Label all objects of the index that `settings` name, and its images by their objects.

    Those that the same list and embedder have labelled are left alone, so that a run which was
    interrupted goes on where it was. Raises UsageError if `settings` name no list, and what the
    index and the embedder raise.
    """
    progress, home = progress or Progress(), IndexHome.current(settings)
    with home.points() as index:
        searcher = Searcher(index, settings=settings, generation=home.generation)
        name = searcher.embedder_name
        progress.note("embedding the labels")
        labeller = build_labeller(
            settings.labels,
            settings.embedder.model_copy(update={"name": name}),
            settings.cache_dir,
            searcher.calibration,
        )
        if labeller is None:
            raise UsageError("expected a list of labels, got none: name one with --names")
        return _Labelling(index, labeller, name, progress).run()


class _Labelling:
    def __init__(
        self, index: VectorIndex, labeller: Labeller, embedder: str, progress: Progress
    ) -> None:
        self._index, self._labeller, self._progress = index, labeller, progress
        self._embedder = embedder
        self._entries = {entry.name: entry for entry in labeller.entries}
        self._labelled = 0
        self._total = 0

    def run(self) -> LabelSummary:
        everything = self._conditions()
        self._total = self._index.count(everything)
        others = Condition(field="labelled_by", op="!=", value=self._labeller.fingerprint)
        # Images after all objects: their labels are those of their objects.
        for kind, relabelled in (("object", self._objects), ("image", self._images)):
            points = self._index.scan((*self._conditions(kind), others))
            for batch in batched(points, _AT_ONCE):
                named = relabelled(batch)
                self._index.relabel(named, self._labeller.fingerprint)
                self._labelled += len(named)
                self._progress.note(f"{self._labelled:,} of {self._total:,} points labelled")
        unchanged = self._total - self._labelled
        return LabelSummary(self._labelled, unchanged, len(self._labeller.entries))

    def _conditions(self, kind: str | None = None) -> tuple[Condition, ...]:
        own = Condition(field="embedder", op="=", value=self._embedder)
        return (own,) if kind is None else (own, Condition(field="kind", op="=", value=kind))

    def _objects(self, points: Sequence[Point]) -> list[PointLabels]:
        # One whose vector is damaged keeps what it is called: that is for a verification.
        whole = [(point, point.vector) for point in points if point.vector is not None]
        whole = [(point, vector) for point, vector in whole if np.isfinite(vector).all()]
        if not whole:
            return []
        namings = self._labeller.name(np.array([vector for _, vector in whole], np.float32))
        return [
            self._assign(point, naming) for (point, _), naming in zip(whole, namings, strict=True)
        ]

    def _images(self, points: Sequence[Point]) -> list[PointLabels]:
        return [self._assign(point, Naming(best_labels(self._beside(point)))) for point in points]

    def _assign(self, point: Point, naming: Naming) -> PointLabels:
        words = words_of(naming.labels, point.payload["uri"], self._labeller.word_score)
        return PointLabels(point.id, naming, words)

    def _beside(self, image: Point) -> Iterator[Label]:
        """The labels of an image's objects, or a shot's.

        Images of one version share their generation's id.
        """
        same = (
            Condition(field=field, op="=", value=image.payload[field])
            for field in ("image_id", "generation", "shot")
            if field in image.payload
        )
        for point in self._index.scroll((*self._conditions("object"), *same)):
            yield from self._labels_of(point.parse_payload())

    def _labels_of(self, payload: PointPayload) -> Iterator[Label]:
        pairs = zip(payload.labels or (), payload.label_scores or (), strict=True)
        # One that is on its way into the index may still have labels of another list.
        known = ((self._entries.get(name), score) for name, score in pairs)
        return (Label(entry, score) for entry, score in known if entry is not None)
