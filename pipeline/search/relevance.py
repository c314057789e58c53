"""Adds to hits how likely they show what was searched for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

from pipeline.search.resolved_example import ResolvedExample
from pipeline.search.resolved_query import NEGATIVE_WEIGHT, ResolvedQuery
from schemas.points import NO_SHARE, Point, TextSum
from schemas.search import (
    Example,
    Relevance,
    SearchHit,
    SearchQuery,
    TextExample,
    VectorExample,
    shows_whole,
)
from workers.indexes.bm25 import share_of_words
from workers.labelling.calibration import Calibration, text_probability
from workers.protocols import VectorIndex

Weighed = tuple[float, float]
"""How likely a hit shows an example, and the example's weight."""

_Judged = tuple[Example, ResolvedExample]


class Judge:
    """Turns similarities into probabilities, as far as the embedder was calibrated.

    `knows_text`: whether the embedder has learnt what a text says.
    """

    def __init__(
        self,
        index: VectorIndex,
        calibration: Calibration,
        knows_text: Callable[[str], bool],
    ) -> None:
        self._index, self._knows_text = index, knows_text
        self._calibration = calibration

    def judge(
        self,
        hits: Sequence[SearchHit],
        query: SearchQuery,
        resolved: ResolvedQuery,
        *,
        sums: Mapping[str, TextSum],
        searched: int,
    ) -> list[SearchHit]:
        """The hits with their relevance, in their order.

        `sums` are those of the query's texts, `searched` is how many objects were searched. With a
        text that the embedder has not learnt there is no probability, and every hit is weak. A copy
        of a whole picture shows it for certain.
        """
        texts = [example for example in query.wanted if isinstance(example, TextExample)]
        if hits and not all(self._knows_text(example.text) for example in texts):
            weak = {"relevance": Relevance.WEAK}
            return [hit.model_copy(update=weak) for hit in hits]
        alone = len(resolved.positive) == 1 and not resolved.negative
        points: dict[uuid.UUID, Point] = {}
        with_words = any(weights.counts_words for weights in sums.values())
        if with_words or not alone:
            ids = [uuid.UUID(hit.object_id) for hit in hits]
            points = self._index.vectors(ids, dense=not alone, words=with_words)
        likely = self._calibration.likely_picture
        if texts:
            likely = self._calibration.likely.among(searched)
        wanted = list(zip(query.wanted, resolved.positive, strict=True))
        unwanted = list(zip(query.negative, resolved.negative, strict=True))
        judged = []
        for hit in hits:
            point = points.get(uuid.UUID(hit.object_id))  # it may be gone by now
            against = [self._weigh(example, hit, point, sums, alone) for example in unwanted]
            if any(_is_copy(hit, example) for example in resolved.positive):
                # Of whole images it is not known; nobody looks for a picture to be without it.
                against = [weighed for weighed in against if weighed is not None]
            probability = join_probabilities(
                [self._weigh(example, hit, point, sums, alone) for example in wanted],
                against,
                any_of_them=query.strategy == "best_score",
            )
            judged.append(hit if probability is None else self._mark(hit, probability, likely))
        return judged

    def _weigh(
        self,
        judged: _Judged,
        hit: SearchHit,
        point: Point | None,
        sums: Mapping[str, TextSum],
        alone: bool,
    ) -> Weighed | None:
        """How likely a hit shows an example, and the example's weight; None if it is unknown.

        `alone`: there is one example, and a hit's score is the similarity to it.
        """
        example, resolved = judged
        if _is_copy(hit, resolved):
            return 1.0, example.weight
        score: float | None = hit.score
        if not alone:
            vector = None if point is None else point.vector
            score = None if vector is None else float(vector @ resolved.vector)
        # What a vector stands for is not known: a text, a picture, or something else.
        if score is None or hit.payload.kind != "object" or isinstance(example, VectorExample):
            return None
        if isinstance(example, TextExample):
            probability = self._weigh_text(sums[example.text], score, hit, point)
        else:
            picture = self._calibration.picture
            probability = None if picture is None else picture.probability(score)
        return None if probability is None else (probability, example.weight)

    def _weigh_text(
        self, weights: TextSum, score: float, hit: SearchHit, point: Point | None
    ) -> float | None:
        shares = NO_SHARE
        if weights.counts_words and point is not None and point.words is not None:
            shares = share_of_words(weights.text, point.words, hit.payload.uri)
        return text_probability(self._calibration, weights, score, hit.payload, shares)

    def _mark(self, hit: SearchHit, probability: float, likely: float) -> SearchHit:
        rounded = round(probability, 4)
        relevance = self._calibration.relevance(rounded, likely)
        return hit.model_copy(update={"probability": rounded, "relevance": relevance})


def _is_copy(hit: SearchHit, resolved: ResolvedExample) -> bool:
    return any(copy.object_id == hit.object_id for copy in resolved.copies)


def join_probabilities(
    wanted: Sequence[Weighed | None], unwanted: Sequence[Weighed | None], *, any_of_them: bool
) -> float | None:
    """How likely a hit shows what is wanted; None unless all is known, of what is not wanted too.

    All of it: the least probability, but an example whose weight is a share w of the largest can
    take no more than w away (the weighted minimum of D. Dubois and H. Prade, "Weighted minimum and
    maximum operations in fuzzy set theory", 1986). Or `any_of_them`: the largest. Less half of what
    the average of the unwanted takes, as the query's vector has it.
    """
    known, against = _all_known(wanted), _all_known(unwanted)
    if known is None or against is None or not known:
        return None
    if any_of_them:
        joined = max(probability for probability, _ in known)
    else:
        largest = max(weight for _, weight in known)
        joined = min(max(probability, 1 - weight / largest) for probability, weight in known)
    if against:
        largest = max(weight for _, weight in against)
        shares = [weight / largest for _, weight in against]
        pairs = zip(against, shares, strict=True)
        average = sum(probability * share for (probability, _), share in pairs) / sum(shares)
        joined *= 1 - NEGATIVE_WEIGHT * average
    return joined


def _all_known(weighed: Sequence[Weighed | None]) -> list[Weighed] | None:
    known = [item for item in weighed if item is not None]
    return known if len(known) == len(weighed) else None


def find_surest(hits: Sequence[SearchHit], query: SearchQuery) -> Relevance | None:
    """The relevance of the surest hit of a query; None if nothing is known of any.

    Whole images, of which nothing is known, may well show a whole picture that was searched with,
    however unlike it objects are: with one among the hits they are not called weak.
    """
    known = {hit.relevance for hit in hits}
    surest = next((relevance for relevance in Relevance if relevance in known), None)
    unsure = None in known and any(map(shows_whole, query.wanted))
    return None if unsure and surest is Relevance.WEAK else surest
