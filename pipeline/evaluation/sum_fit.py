"""Fits the sum by which objects rank for a text to labelled images: the right one first."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.logistic import Floats
from pipeline.evaluation.matching import Matching
from pipeline.evaluation.text_queries import OBJECTS_ONLY
from pipeline.search.searcher import Searcher
from schemas.errors import UsageError
from schemas.points import NO_SHARE, IndexQuery, Point
from workers.indexes.bm25 import query_words, share_of_words
from workers.labelling.calibration import SumWeights

_POOL = 100
_STEPS = 100
_HALVINGS = 20
_ENOUGH = 1e-9  # of gain in log likelihood a text
# How far weights are likely to be from those before, as a share of these: half of what they are.
_SPREAD = 0.5
_LEAST_NEARNESS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Objects that may be found for a text.

    `features` float64 (n, 5): the cosine in logits, the predicted IoU, `label_logsumexp`, the
    shares of labels and of the uri. `right` bool (n,).
    """

    features: Floats
    right: npt.NDArray[np.bool_]


def gather_candidates(
    searcher: Searcher, matching: Matching, texts: Sequence[str], categories: Sequence[set[int]]
) -> Iterator[Candidates]:
    """The first hundred objects of each text; those of an object that overlap are all there."""
    scale = searcher.calibration.label_scale
    vectors = searcher.models.embed_texts(texts) if texts else []
    for text, wanted, vector in zip(texts, categories, vectors, strict=True):
        weights = searcher.sums.choose(text, with_words=True)
        query = IndexQuery(vector, _POOL, OBJECTS_ONLY, words=query_words([text]), text_sum=weights)
        hits = searcher.index.search(query)
        points: Mapping[uuid.UUID, Point] = {}
        if weights.counts_words:
            ids = [uuid.UUID(hit.object_id) for hit in hits]
            points = searcher.index.vectors(ids, dense=False, words=True)
        features, right = [], []
        for hit in hits:
            point, shares = points.get(uuid.UUID(hit.object_id)), NO_SHARE
            if point is not None and point.words is not None:
                shares = share_of_words(text, point.words, hit.payload.uri)
            features.append(
                (
                    scale * hit.score,
                    hit.payload.predicted_iou or 0.0,
                    hit.payload.label_logsumexp or 0.0,
                    shares.labels if weights.label_words else 0.0,
                    float(shares.in_uri) if weights.uri_words else 0.0,
                )
            )
            item = matching.objects.get(hit.object_id)
            annotation = None if item is None else item.annotation
            right.append(annotation is not None and annotation.category_id in wanted)
        if any(right):
            yield Candidates(np.array(features), np.array(right))


def choose_sum(
    parts: Sequence[Sequence[Candidates]], before: SumWeights
) -> tuple[SumWeights, bool]:
    """The weights of texts in several parts, and whether they are other ones than `before`.

    Those stay unless more right objects stand first by weights that were fitted to other parts: by
    more texts than chance would have it (a standard deviation of those that are moved either way).
    """
    gained = moved = 0
    for number, part in enumerate(parts):
        others = [item for other in (*parts[:number], *parts[number + 1 :]) for item in other]
        if others:
            now, once = _find_first(part, fit_sum(others, before)), _find_first(part, before)
            gained += int(now.sum()) - int(once.sum())
            moved += int((now != once).sum())
    fitted = fit_sum([item for part in parts for item in part], before)
    return (fitted, True) if gained > math.sqrt(moved) else (before, False)


def _find_first(texts: Sequence[Candidates], weights: SumWeights) -> npt.NDArray[np.bool_]:
    """Whether a right object stands first, of each text (n,)."""
    every = np.array([1.0, *astuple(weights)])
    return np.array([item.right[(item.features @ every).argmax()] for item in texts], np.bool_)


def fit_sum(texts: Sequence[Candidates], before: SumWeights) -> SumWeights:
    """The weights with which a right object stands first most likely.

    A candidate is first with the softmax of its sum among those of its text (D. McFadden,
    "Conditional logit analysis of qualitative choice behavior", 1974); several may be right. The
    weights `before` are what to expect (a normal prior whose deviation is half of each): what the
    texts do not tell stays as it was. Newton's method on the concave part, halved where it does not
    gain. Raises UsageError where right objects are no nearer to their texts than others.
    """
    expected = np.array([1.0, *astuple(before)])
    # In units of a deviation: each weight's distance from the one before, times that of nearness.
    units = np.diag(1 / (_SPREAD * expected))
    units[1:, 0] = -1 / _SPREAD
    prior = np.zeros(len(expected))
    prior[0] = 1 / _SPREAD
    fitted = expected
    value, gradient, curvature = _evaluate(texts, fitted)
    value -= float(((units @ fitted - prior) ** 2).sum() / 2)
    for _ in range(_STEPS):
        slope = gradient - units.T @ (units @ fitted - prior)
        step = np.linalg.solve(curvature + units.T @ units, slope)
        for _ in range(_HALVINGS):
            tried = fitted + step
            new, gradient, curvature = _evaluate(texts, tried)
            new -= float(((units @ tried - prior) ** 2).sum() / 2)
            if new >= value:
                break
            step /= 2
        gain, value, fitted = new - value, new, tried
        if gain < _ENOUGH * len(texts):
            break
    nearness = float(fitted[0])
    if nearness < _LEAST_NEARNESS:
        raise UsageError(
            "expected objects to be nearer to the text of what they show than to others, they are "
            "not: is the truth that of these images?"
        )
    return SumWeights(*(round(float(weight) / nearness, 3) for weight in fitted[1:]))


def _evaluate(texts: Sequence[Candidates], weights: Floats) -> tuple[float, Floats, Floats]:
    """The log likelihood, its gradient (5,), and its curvature (5, 5) but for the convex part."""
    total, gradient = 0.0, np.zeros(len(weights))
    curvature = np.zeros((len(weights), len(weights)))
    for candidates in texts:
        sums = candidates.features @ weights
        shares, of_all = _take_softmax(sums)
        among_right, of_right = _take_softmax(np.where(candidates.right, sums, -np.inf))
        total += of_right - of_all
        gradient += (among_right - shares) @ candidates.features
        centred = candidates.features - shares @ candidates.features
        curvature += (centred * shares[:, None]).T @ centred
    return total, gradient, curvature


def _take_softmax(sums: Floats) -> tuple[Floats, float]:
    """The softmax of sums (n,), and the logarithm of what it divides by."""
    powers = np.exp(sums - sums.max())
    return powers / powers.sum(), float(sums.max() + np.log(powers.sum()))
