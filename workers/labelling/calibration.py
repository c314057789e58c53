"""Turns similarities into probabilities, by embedder; docs/search.md has how that was fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.points import NO_SHARE, TextSum, WordShares
from schemas.search import Relevance
from workers.models.catalog import DEMO_EMBEDDER

_ARTICLES = frozenset({"a", "an", "the"})
_SCORE_DIGITS = 4  # that scores are stored with
_LEAST_SHARE = 10**-_SCORE_DIGITS


@dataclass(frozen=True, slots=True)
class Curve:
    """A logistic regression: probability = sigmoid(`intercept` + `weights` times the evidence)."""

    intercept: float
    weights: tuple[float, ...]

    def probability(self, *evidence: float) -> float:
        """From 0 to 1. Raises ValueError unless there is a value for each weight."""
        pairs = zip(self.weights, evidence, strict=True)
        logit = self.intercept + sum(weight * value for weight, value in pairs)
        return _sigmoid(logit)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))


def log_odds(share: float) -> float:
    """The logarithm of share / (1 - share), finite."""
    share = min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE)
    return math.log(share / (1 - share))


@dataclass(frozen=True, slots=True)
class LikelyBound:
    """The least probability of a likely hit: it grows with the number of objects searched.

    Of many objects more look like what is not there. `of_thousand` times the root of the thousands
    that are searched, at most `most`; without `of_thousand` it is `most` for any number.
    """

    most: float
    of_thousand: float | None = None

    def among(self, objects: int) -> float:
        """The bound where so many objects are searched."""
        if self.of_thousand is None:
            return self.most
        return min(self.most, self.of_thousand * math.sqrt(objects / 1000))

    @property
    def enough_objects(self) -> int:
        """So many objects or more have the same bound."""
        if self.of_thousand is None:
            return 0
        return math.ceil(1000 * (self.most / self.of_thousand) ** 2)


@dataclass(frozen=True, slots=True)
class SumWeights:
    """The weights of a `TextSum`, as logits: times `label_scale` too large for cosines."""

    predicted_iou: float
    label_logsumexp: float
    label_words: float
    uri_words: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`label_scale` times a cosine similarity are the logits whose softmax is calibrated.

    Objects are ranked for a text by the sum of `sum_weights`. `text` makes a probability of that
    sum, as logits; where it is None, nothing was fitted and CLIP's own softmax is taken. `label`
    takes the log odds of a label's score: whether that label of an object is right. `picture` takes
    a similarity between pictures; it is None where none was fitted. `likely` (of texts),
    `likely_picture` and `strong` are the least probabilities of such hits. `image_odds`
    are the log odds that a text gains where the masks of a single image are looked through: one
    of them shows it more often. `shown` is the probability with which a mask is taken to show it.
    """

    label_scale: float
    sum_weights: SumWeights
    text: Curve | None
    label: Curve
    picture: Curve | None
    likely: LikelyBound
    likely_picture: float
    strong: float
    image_odds: float
    shown: float

    def text_sum(self, text: str, *, label_words: bool, uri_words: bool) -> TextSum:
        """The sum by which objects are ranked for a text; which words count in it."""
        weights, scale = self.sum_weights, self.label_scale
        return TextSum(
            text,
            weights.predicted_iou / scale,
            weights.label_logsumexp / scale,
            weights.label_words / scale if label_words else 0.0,
            weights.uri_words / scale if uri_words else 0.0,
        )

    def relevance(self, probability: float, likely: float) -> Relevance:
        """In a word, where hits are likely from `likely` on."""
        if probability >= self.strong:
            return Relevance.STRONG
        return Relevance.LIKELY if probability >= likely else Relevance.WEAK

    def label_score(self, probability: float) -> float:
        """The score from which on a label is right with this probability; 0 for 0."""
        if probability <= 0:
            return 0.0
        (weight,) = self.label.weights
        score = _sigmoid((log_odds(probability) - self.label.intercept) / weight)
        return round(score, _SCORE_DIGITS)


_SUM_WEIGHTS = SumWeights(predicted_iou=5.0, label_logsumexp=-0.5, label_words=4.5, uri_words=2.0)
_CALIBRATIONS = {
    DEMO_EMBEDDER: Calibration(
        label_scale=30.0,
        sum_weights=_SUM_WEIGHTS,
        text=Curve(-16.276, (1.161,)),
        label=Curve(-0.141, (1.116,)),
        picture=Curve(-18.899, (23.835,)),
        likely=LikelyBound(most=0.075, of_thousand=0.06),
        likely_picture=0.12,
        strong=0.5,
        # Fitted on scenes of seed 7, whose absent texts find something in 9 of 100 cases.
        image_odds=4.0,
        shown=0.3,
    ),
}
# CLIP learns its scale with its weights; training clips it at 100, which most models reach (A.
# Radford et al., 2021). Zero-shot classification takes the softmax with it for probabilities.
_OTHERS = Calibration(
    label_scale=100.0,
    sum_weights=_SUM_WEIGHTS,
    text=None,
    label=Curve(0.0, (1.0,)),
    picture=None,
    likely=LikelyBound(most=0.2),
    likely_picture=0.2,
    strong=0.5,
    image_odds=0.0,
    shown=0.5,
)


class LabelEvidence(Protocol):
    """What is known of an object beside its vector: of a point's payload, or of a mask."""

    @property
    def predicted_iou(self) -> float | None: ...
    @property
    def labels(self) -> Sequence[str] | None: ...
    @property
    def label_scores(self) -> Sequence[float] | None: ...
    @property
    def label_logsumexp(self) -> float | None: ...


def text_probability(
    calibration: Calibration,
    weights: TextSum,
    score: float,
    payload: LabelEvidence,
    shares: WordShares = NO_SHARE,
) -> float | None:
    """How likely an object shows the text of `weights`; `score` is their cosine similarity.

    None for a point that was never labelled, and for a whole image.
    """
    logsumexp = payload.label_logsumexp
    if logsumexp is None or payload.labels is None or payload.label_scores is None:
        return None
    if calibration.text is None:
        odds = softmax_odds(calibration.label_scale, weights.text, score, payload, shares)
        return _sigmoid(odds)
    total = weights.add_up(score, payload.predicted_iou, logsumexp, shares)
    return calibration.text.probability(calibration.label_scale * total)


def image_probability(calibration: Calibration, probability: float) -> float:
    """How likely a mask of a single image shows a text, where a search would say `probability`.

    The same evidence on other prior odds (M. Saerens et al., "Adjusting the outputs of a classifier
    to new a priori probabilities", 2002): a text is asked of an image that may well show it.
    """
    return _sigmoid(log_odds(probability) + calibration.image_odds)


def softmax_odds(
    scale: float, text: str, score: float, payload: LabelEvidence, shares: WordShares = NO_SHARE
) -> float:
    """The log odds of a text among the labels of the list, for a point that has them.

    It is added to the list unless it is one of them. Or of the labels that have all of its words,
    if those are more likely ("a fruit": an apple, whose keyword it is).
    """
    labels, scores = payload.labels or (), payload.label_scores or ()
    name = plain(text)
    if name in labels:
        odds = log_odds(scores[labels.index(name)])
    else:
        odds = scale * score - (payload.label_logsumexp or 0.0)
    return max(odds, log_odds(shares.labels)) if shares.labels > 0 else odds


def plain(text: str) -> str:
    """`text` without its article: people search for "a dog", the label is "dog"."""
    first, blank, rest = text.strip().partition(" ")
    return rest.strip() if blank and first.lower() in _ARTICLES else text.strip()


def calibration_of(embedder_name: str) -> Calibration:
    """The calibration of an embedder."""
    return _CALIBRATIONS.get(embedder_name, _OTHERS)
