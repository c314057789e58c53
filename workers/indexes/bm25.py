"""Makes sparse vectors for BM25 of labels and uris; the index weighs words by their rarity."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from schemas.labels import Label
from schemas.points import NO_SHARE, SparseVector, WordShares
from workers.indexes.word_segmentation import segment_document, segment_query, words_of_name

if TYPE_CHECKING:
    import qdrant_edge as edge

# Words of a label with its keywords, or of a path: BM25 compares lengths with it.
_AVERAGE_WORDS = 8
_SUFFIX = re.compile(r"(?<=[^/])\.[A-Za-z0-9]{1,4}\Z")
# Of how an index of before words were split by Unicode's rules has them: enough to find what only
# they find, too little to rank a part of a word like a word.
_OLDER_SHARE = 0.1
_TEXTS = 256  # in memory: of queries


@cache
def _bm25() -> edge.Bm25:
    # Words get the numbers that Qdrant's own `qdrant/bm25` gives them.
    import qdrant_edge as edge

    return edge.Bm25(edge.Bm25Config(language="english", avg_len=_AVERAGE_WORDS))


def words_of(labels: Iterable[Label], uri: str, least_score: float = 0.0) -> SparseVector:
    """The words of a point: of each label and its keywords, weighted by its score; of the uri.

    Labels with a score below `least_score` are left out.
    """
    weights: dict[int, float] = defaultdict(float)
    for label in labels:
        if label.score < least_score:
            continue
        text = " ".join((label.entry.name, *label.entry.keywords))
        _add_words(weights, text, label.score)
    _add_words(weights, uri_text(uri), 1.0)
    return _words(weights)


def query_words(texts: Sequence[str]) -> SparseVector | None:
    """The words of query texts, each once; None if there are only stop words."""
    weights: dict[int, float] = {}
    for text in texts:
        for split, weight in ((segment_query(text), 1.0), (text, _OLDER_SHARE)):
            for index in _bm25().embed_query(split).indices:
                weights[index] = max(weight, weights.get(index, 0.0))
    return _words(weights) if weights else None


def share_of_words(text: str, words: SparseVector, uri: str) -> WordShares:
    """Which of a point's labels, and whether its `uri`, have all words of `text`.

    It is read from the point's `words`: a word weighs as much as the scores of the labels that have
    it, by name or by keyword, more or less (BM25: more in short ones), and as much as the `uri` has
    of it, which is taken off.
    """
    asked = _asked_words(text)
    weights = dict(zip(words.indices.tolist(), words.values.tolist(), strict=True))
    if not asked or any(index not in weights for index in asked):
        return NO_SHARE
    of_uri: dict[int, float] = defaultdict(float)
    _add_words(of_uri, uri_text(uri), 1.0)
    least = min(weights[index] - of_uri.get(index, 0.0) for index in asked)
    return WordShares(float(min(max(least, 0.0), 1.0)), all(index in of_uri for index in asked))


@lru_cache(maxsize=_TEXTS)
def _asked_words(text: str) -> tuple[int, ...]:
    return tuple(_bm25().embed_query(segment_query(text)).indices)


def uri_text(uri: str) -> str:
    """The words of a uri's path: letters, and numbers as long as a year; no bucket, no suffix."""
    path = unquote(uri.partition("://")[2].partition("/")[2])
    return " ".join(words_of_name(_SUFFIX.sub("", path)))


def _add_words(weights: dict[int, float], text: str, share: float) -> None:
    document = _bm25().embed_document(segment_document(text))
    for index, value in zip(document.indices, document.values, strict=True):
        weights[index] += share * value


def _words(weights: dict[int, float]) -> SparseVector:
    indices = sorted(weights)
    values = [weights[index] for index in indices]
    return SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))
