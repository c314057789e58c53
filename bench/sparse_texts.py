"""Draws sparse vectors as SPLADE's are: few of many terms, some of them in many texts."""

from __future__ import annotations

import numpy as np

from schemas.points import SparseVector

TERMS = 30_522
"""As many as BERT's vocabulary has, which SPLADE's terms are of."""
TERMS_OF_A_TEXT, TERMS_OF_A_QUERY = 64, 24
_TOPICS = 2000
_TERMS_OF_A_TOPIC = 48
_OWN = 0.6  # of a text's terms; the others are of its topic
# By the square of what is drawn evenly, the most frequent of all terms is in a fifth of texts.
_SKEW = 2
_MEDIAN_WEIGHT, _SPREAD = 0.6, 0.7


class SparseTexts:
    """Texts of some thousand topics; what is drawn is the same for the same number."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 3])
        # Otherwise the frequent terms would be those with the lowest numbers.
        self._terms = rng.permutation(TERMS).astype(np.uint32)
        self._topics = self._frequent(rng, (_TOPICS, _TERMS_OF_A_TOPIC))

    def draw(self, number: int, count: int, terms: int = TERMS_OF_A_TEXT) -> list[SparseVector]:
        """So many texts of at most so many terms each, by a number of theirs."""
        rng = np.random.default_rng([number, 4])
        own = round(_OWN * terms)
        drawn = np.concatenate(
            [
                self._frequent(rng, (count, own)),
                rng.permuted(self._topics[rng.integers(0, _TOPICS, count)], axis=1)[
                    :, : terms - own
                ],
            ],
            axis=1,
        )
        weights = _MEDIAN_WEIGHT * np.exp(_SPREAD * rng.standard_normal(drawn.shape))
        return [_make(*pair) for pair in zip(drawn, weights.astype(np.float32), strict=True)]

    def _frequent(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return self._terms[(TERMS * rng.random(shape) ** _SKEW).astype(np.int64)]


def _make(terms: np.ndarray, weights: np.ndarray) -> SparseVector:
    indices, first = np.unique(terms, return_index=True)
    return SparseVector(indices, weights[first])
