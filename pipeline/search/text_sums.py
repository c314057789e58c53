"""Chooses the sum by which objects are ranked for a text: what an index has decides what counts."""

from __future__ import annotations

from dataclasses import replace

from schemas.points import IndexInfo, TextSum
from schemas.search import Condition
from workers.labelling.calibration import Calibration, plain
from workers.protocols import VectorIndex

_MOST_TEXTS = 1024  # remembered, whether they are labels


class TextSums:
    """The sums of texts in an index that holds what `info` says. Not thread-safe.

    Labels count where every point has been labelled: elsewhere those that have been would be put
    before the others, or behind them.
    """

    def __init__(self, index: VectorIndex, calibration: Calibration, info: IndexInfo) -> None:
        self._index, self._calibration = index, calibration
        self._labelled = 0 < info.objects + info.images <= info.labelled
        self._has_words = info.has_words
        self._are_labels: dict[str, bool] = {}

    def choose(self, text: str, *, with_words: bool) -> TextSum:
        """The sum for a text. `with_words`: those of labels and of the uri count as well.

        Those of labels count nothing where the text itself is a label: its vector says it already.
        """
        words = with_words and self._has_words
        label_words = words and self._labelled and not self._is_label(text)
        chosen = self._calibration.text_sum(text, label_words=label_words, uri_words=words)
        return chosen if self._labelled else replace(chosen, label_logsumexp=0.0)

    def _is_label(self, text: str) -> bool:
        name = plain(text)
        if name not in self._are_labels:
            if len(self._are_labels) >= _MOST_TEXTS:
                self._are_labels.clear()
            named = Condition(field="labels", op="=", value=name, least_score=0.0)
            self._are_labels[name] = self._index.count_up_to(1, [named]) > 0
        return self._are_labels[name]
