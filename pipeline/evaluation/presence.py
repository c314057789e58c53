"""Measures whether search shows that nothing fits: queries in a bucket with it, and without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.matching import Matching
from pipeline.search.relevance import find_surest
from pipeline.search.searcher import Searcher
from schemas.coco import CocoTruth
from schemas.search import Condition, Relevance, SearchHit, SearchQuery

_FIRST = 10
BINS = 10
_OBJECTS = Condition(field="kind", op="=", value="object")


@dataclass(frozen=True, slots=True)
class LabelQuery:
    """Hits of a text. `present`: in the whole bucket; otherwise in those images without it.

    `learnt`: whether the embedder has learnt all words of the text.
    """

    text: str
    present: bool
    hits: tuple[SearchHit, ...]
    right: tuple[bool, ...]
    learnt: bool = True

    @property
    def is_weak(self) -> bool:
        """Whether the surest hit is weak, or there is none."""
        surest = find_surest(self.hits, SearchQuery(text=self.text))
        return surest is Relevance.WEAK or not self.hits


@dataclass(frozen=True, slots=True)
class Presence:
    """How well probabilities tell what is there; None where the truth or labels do not say.

    Shares of queries whose surest hit is weak, for what is there and for what is not, of those
    whose words the embedder has learnt: the hits of `unlearnt_texts`, a share of what is there, are
    always weak. The expected calibration error over ten bins (Guo et al., 2017) of all hits, and of
    first hits.
    """

    present_weak: float | None = None
    absent_weak: float | None = None
    unlearnt_texts: float | None = None
    calibration_error: float | None = None
    first_calibration_error: float | None = None


def search_labels(truth: CocoTruth, matching: Matching, searcher: Searcher) -> Iterator[LabelQuery]:
    """Search for every label: in the whole bucket, and in the bucket without its images.

    The bucket without the images that show any object of this name, however hidden, holds no right
    hit, but much that looks like one.
    """
    image_ids = {
        matching.objects[point.id].image_id: point.payload["image_id"]
        for point in searcher.index.scroll([_OBJECTS])
        if point.id in matching.objects
    }
    names = sorted({category.name for category in truth.categories})
    searcher.remember(names)
    for name in names:
        wanted = {category.id for category in truth.categories if category.name == name}
        showing = [shows for shows in truth.annotations if shows.category_id in wanted]
        images = {image_ids[shows.image_id] for shows in showing if shows.image_id in image_ids}
        elsewhere = tuple(
            Condition(field="image_id", op="!=", value=image) for image in sorted(images)
        )
        there = any(shows.id in matching.best_iou for shows in showing)
        for present, conditions in ((True, ()), (False, elsewhere)):
            if present and not there:
                continue
            # Without the limit on conditions: many images may show it.
            query = SearchQuery(text=name, limit=_FIRST).model_copy(
                update={"conditions": conditions}
            )
            hits = searcher.search(query).hits
            right = tuple(_shows(matching, hit, wanted) for hit in hits)
            yield LabelQuery(name, present, hits, right, searcher.models.knows_text(name))


def _shows(matching: Matching, hit: SearchHit, categories: set[int]) -> bool:
    item = matching.objects.get(hit.object_id)
    return bool(item and item.annotation and item.annotation.category_id in categories)


def measure_presence(queries: Sequence[LabelQuery]) -> Presence:
    """How often what is there and what is not is called weak, and how true probabilities are."""
    weak = {
        there: [query.is_weak for query in queries if query.learnt and query.present is there]
        for there in (True, False)
    }
    if any(query.hits and query.hits[0].relevance is None for query in queries):
        return Presence()
    if not weak[True] or not weak[False]:
        return Presence()
    return Presence(
        float(np.mean(weak[True])),
        float(np.mean(weak[False])),
        float(np.mean([not query.learnt for query in queries if query.present])),
        _measure_error(queries, _FIRST),
        _measure_error(queries, 1),
    )


def _measure_error(queries: Sequence[LabelQuery], first: int) -> float | None:
    """The expected calibration error of the first hits of queries that have a probability."""
    known = [
        (hit.probability, right)
        for query in queries
        for hit, right in zip(query.hits[:first], query.right[:first], strict=True)
        if hit.probability is not None
    ]
    if not known:
        return None
    shares = np.array([probability for probability, _ in known])
    return calibration_error(shares, np.array([right for _, right in known]))


def calibration_error(shares: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins, of probabilities (n,) and what was right (n,)."""
    bins = find_bins(shares)
    gaps = [
        (bins == number).mean() * abs(shares[bins == number].mean() - right[bins == number].mean())
        for number in np.unique(bins)
    ]
    return float(np.sum(gaps))


def find_bins(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each probability, int64 (n,): ten of equal width, 1 in the last."""
    return np.minimum((shares * BINS).astype(np.int64), BINS - 1)
