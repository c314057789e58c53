"""Tells how likely the masks of images show texts, from vectors of their crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from schemas.labels import Naming
from schemas.masks import ObjectMask
from schemas.overlaps import mask_ios
from schemas.points import NO_SHARE, TextSum, WordShares
from schemas.records import Float32Matrix
from workers.indexes.bm25 import share_of_words, words_of
from workers.labelling.calibration import calibration_of, image_probability, plain, text_probability
from workers.labelling.labeller import Labeller

_MOST_SHARED = 0.5
"""Of two masks of a text that share more than this part of the smaller, the surer one stays, as of
hits of a search."""


@dataclass(frozen=True, slots=True)
class _MaskEvidence:
    """What an index would hold of a mask."""

    predicted_iou: float | None
    labels: tuple[str, ...]
    label_scores: tuple[float, ...]
    label_logsumexp: float | None

    @classmethod
    def of(cls, mask: ObjectMask, naming: Naming) -> _MaskEvidence:
        names = tuple(label.name for label in naming.labels)
        scores = tuple(label.score for label in naming.labels)
        return cls(mask.sureness, names, scores, naming.logsumexp)


class TextMatcher:
    """Matches masks with texts: each text against the labels of a list, which distract from it.

    Probabilities are those that a search gives its hits, on the prior odds of a single image: the
    embedder's calibrated curve, or for an embedder that has none, the share of the text in a
    softmax over the text and the list. `vectors` float32 (len(texts), dim) are unit, of the space
    of `labeller`.
    """

    def __init__(
        self,
        texts: Sequence[str],
        vectors: Float32Matrix,
        labeller: Labeller,
        embedder_name: str,
    ) -> None:
        if len(texts) != len(vectors):
            raise ValueError(f"expected a vector for each of {len(texts)} texts")
        self.texts = tuple(texts)
        self._vectors, self._labeller = vectors, labeller
        self._calibration = calibration_of(embedder_name)
        listed = {entry.name for entry in labeller.entries}
        self._sums = [
            self._calibration.text_sum(text, label_words=plain(text) not in listed, uri_words=False)
            for text in texts
        ]

    @property
    def shown(self) -> float:
        """The probability from which on a mask is taken to show a text."""
        return self._calibration.shown

    def judge(self, masks: Sequence[ObjectMask], vectors: Float32Matrix) -> npt.NDArray[np.float64]:
        """How likely each mask shows each text: float64 (texts, masks).

        `vectors` float32 (len(masks), dim) are unit.
        """
        cosines = self._vectors @ vectors.T
        namings = self._labeller.name(vectors)
        evidence = [_MaskEvidence.of(*pair) for pair in zip(masks, namings, strict=True)]
        likely = np.zeros((len(self.texts), len(masks)))
        for row, weights in enumerate(self._sums):
            for column, (known, naming) in enumerate(zip(evidence, namings, strict=True)):
                score = float(cosines[row, column])
                shares = self._share(weights, naming)
                found = text_probability(self._calibration, weights, score, known, shares)
                if found is not None:
                    likely[row, column] = image_probability(self._calibration, found)
        return likely

    def find(
        self,
        masks: Sequence[ObjectMask],
        vectors: Float32Matrix,
        least: float | None = None,
    ) -> list[ObjectMask]:
        """The masks that show a text with a probability of `least`, or `shown`; surest first.

        Each with its likeliest text as its label and the probability as its score. Of those of one
        text that overlap the surest stays.
        """
        likely = self.judge(masks, vectors)
        if not likely.size:
            return []
        bound = self.shown if least is None else least
        best, score = likely.argmax(axis=0), likely.max(axis=0)
        found = []
        for row, text in enumerate(self.texts):
            own = np.flatnonzero((best == row) & (score >= bound) & (score > 0))
            order = own[np.argsort(-score[own], kind="stable")].tolist()
            named = [
                replace(
                    masks[each], segmenter_label=text, segmenter_score=round(float(score[each]), 4)
                )
                for each in order
            ]
            found += drop_overlapping(named)
        return sorted(found, key=lambda mask: -(mask.segmenter_score or 0.0))

    def _share(self, weights: TextSum, naming: Naming) -> WordShares:
        if not weights.counts_words:
            return NO_SHARE
        words = words_of(naming.labels, "", self._labeller.word_score)
        return share_of_words(weights.text, words, "")


def drop_overlapping(masks: Sequence[ObjectMask]) -> list[ObjectMask]:
    """The masks without those that mostly lie in an earlier one that stays, or hold it."""
    shared = mask_ios([mask.rle for mask in masks], [mask.rle for mask in masks])
    kept: list[int] = []
    for number in range(len(masks)):
        if all(shared[number, other] <= _MOST_SHARED for other in kept):
            kept.append(number)
    return [masks[number] for number in kept]
