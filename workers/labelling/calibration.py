"""Turns similarities into probabilities, by embedder; docs/search.md has how that was fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.payload import PointPayload
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
class Calibration:
    """`label_scale` times a cosine similarity are the logits whose softmax is calibrated.

    `text` takes what `text_evidence` returns, `label` the log odds of a label's score: whether that
    label of an object is right. `picture` takes a similarity between pictures; it is
    None where none was fitted. `likely` and `strong` are the least probabilities of such hits.
    """

    label_scale: float
    text: Curve
    label: Curve
    picture: Curve | None
    likely: float
    strong: float

    def relevance(self, probability: float) -> Relevance:
        if probability >= self.strong:
            return Relevance.STRONG
        return Relevance.LIKELY if probability >= self.likely else Relevance.WEAK

    def label_score(self, probability: float) -> float:
        """The score from which on a label is right with this probability; 0 for 0."""
        if probability <= 0:
            return 0.0
        (weight,) = self.label.weights
        score = _sigmoid((log_odds(probability) - self.label.intercept) / weight)
        return round(score, _SCORE_DIGITS)


_CALIBRATIONS = {
    DEMO_EMBEDDER: Calibration(
        label_scale=30.0,
        text=Curve(-5.014, (1.14, 5.048, 0.577, 0.076)),
        label=Curve(-0.141, (1.116,)),
        picture=Curve(-18.899, (23.835,)),
        likely=0.12,
        strong=0.5,
    ),
}
# CLIP learns its scale with its weights; training clips it at 100, which most models reach (A.
# Radford et al., 2021). Zero-shot classification takes the softmax with it for probabilities.
_OTHERS = Calibration(
    label_scale=100.0,
    text=Curve(0.0, (1.0, 0.0, 0.0, 0.0)),
    label=Curve(0.0, (1.0,)),
    picture=None,
    likely=0.2,
    strong=0.5,
)


def text_evidence(
    scale: float, text: str, score: float, payload: PointPayload, word_share: float = 0.0
) -> tuple[float, ...] | None:
    """Evidence for whether an object shows a text; `score` is their cosine similarity.

    The log odds of the text among the labels of the list, to which it is added unless it is one of
    them, or of the labels that have all of its words, `word_share`, if those are more likely ("a
    fruit": an apple, whose keyword it is); the predicted IoU and the stability score of the mask;
    the log of the object's share of the image. None for a point that was never labelled, and for a
    whole image.
    """
    labels, scores = payload.labels, payload.label_scores
    if payload.label_logsumexp is None or labels is None or scores is None:
        return None
    name = plain(text)
    if name in labels:
        evidence = log_odds(scores[labels.index(name)])
    else:
        evidence = scale * score - payload.label_logsumexp
    if word_share > 0:
        evidence = max(evidence, log_odds(word_share))
    sure, stable = payload.predicted_iou or 0.0, payload.stability_score or 0.0
    return evidence, sure, stable, math.log(payload.area_frac)


def plain(text: str) -> str:
    """`text` without its article: people search for "a dog", the label is "dog"."""
    first, blank, rest = text.strip().partition(" ")
    return rest.strip() if blank and first.lower() in _ARTICLES else text.strip()


def calibration_of(embedder_name: str) -> Calibration:
    """The calibration of an embedder."""
    return _CALIBRATIONS.get(embedder_name, _OTHERS)
