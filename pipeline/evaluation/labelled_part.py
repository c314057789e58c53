"""Holds labelled images in an index of their own, and observes how search does on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice

from pipeline.evaluation.hit_samples import (
    TextHits,
    sample_labels,
    sample_picture_hits,
    sample_text_hits,
)
from pipeline.evaluation.logistic import Sample
from pipeline.evaluation.matching import MATCH_IOU, Matching, group_by_image, match
from pipeline.evaluation.presence import LabelQuery, search_labels
from pipeline.evaluation.sum_fit import Candidates, gather_candidates
from pipeline.evaluation.text_queries import TextQueries, keyword_queries
from pipeline.search.searcher import Searcher
from schemas.coco import CocoCategory, CocoId, CocoTruth
from workers.labelling.calibration import Calibration

# That are searched for: a search takes some 10 ms, and each name has fifteen or more.
_MOST_NAMES, _MOST_OTHERS = 150, 50
_MOST_PICTURE_HITS = 3000  # of ten a search
_SEED = 1

Tell = Callable[[], None]
"""Is called after each search."""


class LabelledPart:
    """Images with truth, and an index of them alone.

    `candidates` are those of each text of which something is there, `label_samples` and
    `picture_samples` the evidence of labels and of similar objects: none of them depends on the
    calibration.
    """

    def __init__(self, searcher: Searcher, truth: CocoTruth) -> None:
        index = searcher.index
        self.searcher, self.truth = searcher, truth
        self.matching = match(truth, group_by_image(index.scroll(), truth), index.note_broken)
        self._asked = _limit_names(truth)
        asked = {category.id for category in self._asked.categories}
        present = [c for c in find_present(truth, self.matching) if c.id in asked]
        self._labels = sorted({category.name for category in present})
        self._same_name = [
            {c.id for c in truth.categories if c.name == name} for name in self._labels
        ]
        self._words, self._have_word = keyword_queries(present, truth.categories)
        self.candidates: list[Candidates] = list(
            gather_candidates(
                searcher,
                self.matching,
                [*self._labels, *self._words],
                [*self._same_name, *self._have_word],
            )
        )
        names: dict[CocoId, str] = {category.id: category.name for category in truth.categories}
        self.label_samples: list[Sample] = sample_labels(index, self.matching, names)
        pictures = sample_picture_hits(index, self.matching)
        self.picture_samples: list[Sample] = list(islice(pictures, _MOST_PICTURE_HITS))

    @property
    def searches(self) -> int:
        """How many `observe` makes, or some fewer."""
        return len({category.name for category in self._asked.categories}) + len(self._labels)

    def observe(self, calibration: Calibration, tell: Tell) -> list[LabelQuery]:
        """Search for every name, there and not, with this calibration from now on."""
        self.searcher.calibrate(calibration)
        queries: list[LabelQuery] = []
        for query in search_labels(self._asked, self.matching, self.searcher):
            queries.append(query)
            tell()
        return queries

    def sample_hits(self, queries: Sequence[LabelQuery]) -> list[TextHits]:
        """The hits of queries that were observed last, by the sum that they were ranked by."""
        return list(sample_text_hits(self.searcher, queries))

    def rank_keywords(self) -> list[int]:
        """Ranks from 0 of the first right hits of keywords, with the calibration observed last."""
        texts = TextQueries(self.searcher, self.matching, labelled=True)
        return texts.rank_shown(self._words, self._have_word)

    def rank_nearest(self) -> tuple[list[int], list[int]]:
        """Ranks from 0 of the first right hits of names and of keywords, by the cosine alone."""
        texts = TextQueries(self.searcher, self.matching, labelled=True)
        return (
            texts.rank_nearest(self._labels, self._same_name),
            texts.rank_nearest(self._words, self._have_word),
        )


def find_present(truth: CocoTruth, matching: Matching) -> list[CocoCategory]:
    """The categories of which an object was found."""
    found = {number for number, iou in matching.best_iou.items() if iou >= MATCH_IOU}
    there = {shows.category_id for shows in truth.annotations if shows.id in found}
    return [category for category in truth.categories if category.id in there]


def _limit_names(truth: CocoTruth) -> CocoTruth:
    """The truth with as many categories as can be searched for in a while, drawn evenly.

    Three of four are there: those are searched for in images without them, too.
    """
    shown = {annotation.category_id for annotation in truth.annotations}
    there = [category for category in truth.categories if category.id in shown]
    others = [category for category in truth.categories if category.id not in shown]
    chosen = [*_draw(there, _MOST_NAMES), *_draw(others, _MOST_OTHERS)]
    return truth.model_copy(update={"categories": chosen})


def _draw(categories: list[CocoCategory], most: int) -> list[CocoCategory]:
    return random.Random(_SEED).sample(categories, min(most, len(categories)))
