"""How similarities become probabilities, by embedder; docs/search.md tells how they were fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.search import Relevance
from workers.catalog import DEMO_EMBEDDER


@dataclass(frozen=True, slots=True)
class Curve:
    """A logistic regression: probability = sigmoid(`intercept` + `weights` times the evidence)."""

    intercept: float
    weights: tuple[float, ...]

    def probability(self, *evidence: float) -> float:
        """Of 0..1. Raises ValueError for another number of values than weights."""
        pairs = zip(self.weights, evidence, strict=True)
        logit = self.intercept + sum(weight * value for weight, value in pairs)
        return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))


@dataclass(frozen=True, slots=True)
class Calibration:
    """`label_scale` times a cosine similarity are the logits whose softmax is calibrated.

    `text` takes the log odds of a text among the labels, with that scale. `picture` takes a
    similarity between pictures; None where it is not known what that says. A hit is as relevant as
    the highest of the two bounds that its probability reaches.
    """

    label_scale: float
    text: Curve
    picture: Curve | None
    likely: float
    strong: float

    def relevance(self, probability: float) -> Relevance:
        if probability >= self.strong:
            return Relevance.STRONG
        return Relevance.LIKELY if probability >= self.likely else Relevance.WEAK


_CALIBRATIONS = {
    DEMO_EMBEDDER: Calibration(
        label_scale=30.0,
        text=Curve(0.0, (1.0,)),
        picture=None,
        likely=0.2,
        strong=0.5,
    ),
}
# CLIP learns its scale with its weights; training stops it at 100, which most models reach (A.
# Radford et al., 2021). Softmax with it is what zero-shot classification takes for probabilities.
_OTHERS = Calibration(
    label_scale=100.0, text=Curve(0.0, (1.0,)), picture=None, likely=0.2, strong=0.5
)


def calibration_of(embedder_name: str) -> Calibration:
    """What similarities of this embedder say."""
    return _CALIBRATIONS.get(embedder_name, _OTHERS)
