"""Tells how likely the masks of images show texts, from vectors of their crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError
from schemas.ids import fingerprint
from schemas.labels import Naming
from schemas.masks import ObjectMask
from schemas.options import EmbedderOptions, LabelOptions
from schemas.overlaps import mask_ios
from schemas.points import NO_SHARE, TextSum, WordShares
from schemas.records import Float32Matrix
from workers.indexes.bm25 import share_of_words, words_of
from workers.labelling.calibration import (
    Calibration,
    image_probability,
    plain,
    text_probability,
)
from workers.labelling.labeller import Labeller, build_labeller
from workers.protocols import TextEmbedder
from workers.registry import build_text_embedder

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
    curve of the labeller's calibration, or where that has none, the share of the text in a softmax
    over the text and the list. `vectors` float32 (len(texts), dim) are unit, of the space of
    `labeller`.
    """

    def __init__(
        self,
        texts: Sequence[str],
        vectors: Float32Matrix,
        labeller: Labeller,
    ) -> None:
        if len(texts) != len(vectors):
            raise ValueError(f"expected a vector for each of {len(texts)} texts")
        self.texts = tuple(texts)
        self._vectors, self._labeller = vectors, labeller
        self._calibration = labeller.calibration
        listed = {entry.name for entry in labeller.entries}
        self.fingerprint = fingerprint(
            {
                "texts": list(texts),
                "labels": labeller.fingerprint,
                "calibration": asdict(self._calibration),
            }
        )
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
        named = [mask for mask in self.name(masks, vectors, least) if mask is not None]
        named.sort(key=lambda mask: -(mask.segmenter_score or 0.0))
        of_text = ([mask for mask in named if mask.segmenter_label == text] for text in self.texts)
        found = [mask for own in of_text for mask in drop_overlapping(own)]
        return sorted(found, key=lambda mask: -(mask.segmenter_score or 0.0))

    def name(
        self, masks: Sequence[ObjectMask], vectors: Float32Matrix, least: float | None = None
    ) -> list[ObjectMask | None]:
        """Each mask as `find` would name it, None where it shows no text; in their order."""
        likely = self.judge(masks, vectors)
        if not likely.size:
            return [None] * len(masks)
        bound = self.shown if least is None else least
        best, score = likely.argmax(axis=0).tolist(), likely.max(axis=0).tolist()
        return [
            replace(mask, segmenter_label=self.texts[row], segmenter_score=round(probability, 4))
            if probability >= bound and probability > 0
            else None
            for mask, row, probability in zip(masks, best, score, strict=True)
        ]

    def _share(self, weights: TextSum, naming: Naming) -> WordShares:
        if not weights.counts_words:
            return NO_SHARE
        words = words_of(naming.labels, "", self._labeller.word_score)
        return share_of_words(weights.text, words, "")


def build_matcher(
    texts: Sequence[str],
    labels: LabelOptions,
    embedder: EmbedderOptions,
    cache_dir: Path | None = None,
    calibration: Calibration | None = None,
) -> TextMatcher:
    """What matches masks with texts, told from the list that `labels` name.

    `calibration` is the embedder's; None: what is known of it.
    Raises UsageError for a text that the embedder has not learnt, or without a list, and what
    `build_labeller` raises.
    """
    model = build_text_embedder(embedder)
    labeller = require_distractors(build_labeller(labels, embedder, cache_dir, calibration))
    return match_texts(texts, model, labeller)


def match_texts(texts: Sequence[str], model: TextEmbedder, labeller: Labeller) -> TextMatcher:
    """The same with models that are loaded. Raises UsageError for a text that was not learnt."""
    for text in texts:
        if not model.knows_text(text):
            raise UsageError(f"expected a text of words that {model.name} has learnt, got {text!r}")
    return TextMatcher(texts, model.embed_texts(texts), labeller)


def require_distractors(labeller: Labeller | None) -> Labeller:
    """The labeller. Raises UsageError if there is none."""
    if labeller is None:
        raise UsageError(
            "expected a list of labels that a text is told from, got the setting labels.names of "
            "none"
        )
    return labeller


def drop_overlapping(masks: Sequence[ObjectMask]) -> list[ObjectMask]:
    """The masks without those that mostly lie in an earlier one that stays, or hold it."""
    shared = mask_ios([mask.rle for mask in masks], [mask.rle for mask in masks])
    kept: list[int] = []
    for number in range(len(masks)):
        if all(shared[number, other] <= _MOST_SHARED for other in kept):
            kept.append(number)
    return [masks[number] for number in kept]
