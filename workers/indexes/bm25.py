"""Makes sparse vectors for BM25 of labels and uris; the index weighs words by their rarity."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from schemas.labels import Label
from schemas.points import Words

if TYPE_CHECKING:
    import qdrant_edge as edge

# Words of a label with its keywords, or of a path: BM25 compares lengths with it.
_AVERAGE_WORDS = 8
_PARTS = re.compile(r"[^\W\d_]{2,}|\d{4,}")


@cache
def _bm25() -> edge.Bm25:
    # Words get the numbers that Qdrant's own `qdrant/bm25` gives them.
    import qdrant_edge as edge

    return edge.Bm25(edge.Bm25Config(language="english", avg_len=_AVERAGE_WORDS))


def words_of(labels: Iterable[Label], uri: str) -> Words:
    """The words of a point: of each label and its keywords, weighted by its score; of the uri."""
    weights: dict[int, float] = defaultdict(float)
    for label in labels:
        text = " ".join((label.entry.name, *label.entry.keywords))
        _add_words(weights, text, label.score)
    _add_words(weights, uri_text(uri), 1.0)
    return _words(weights)


def query_words(texts: Sequence[str]) -> Words | None:
    """The words of query texts, each once; None if there are only stop words."""
    weights = {index: 1.0 for text in texts for index in _bm25().embed_query(text).indices}
    return _words(weights) if weights else None


def uri_text(uri: str) -> str:
    """The words of a uri's path: letters, and numbers as long as a year; no bucket, no suffix."""
    path = PurePosixPath(unquote(uri.partition("://")[2].partition("/")[2]))
    return " ".join(_PARTS.findall(str(path.with_suffix("")) if path.name else ""))


def _add_words(weights: dict[int, float], text: str, share: float) -> None:
    document = _bm25().embed_document(text)
    for index, value in zip(document.indices, document.values, strict=True):
        weights[index] += share * value


def _words(weights: dict[int, float]) -> Words:
    indices = sorted(weights)
    values = [weights[index] for index in indices]
    return Words(np.array(indices, np.uint32), np.array(values, np.float32))
