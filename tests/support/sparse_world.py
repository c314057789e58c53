"""Sparse vectors of the coloured squares of `colour_world`, and models that must not be loaded."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pytest

import pipeline.search.query_models
from pipeline.settings import Settings
from schemas.points import SparseVector
from workers.indexes.open import open_index

RED = ("one.png", (20, 20, 60, 60))
PINK = ("two.png", (10, 10, 40, 50))
BLUE = ("two.png", (60, 20, 100, 70))
GREEN = ("three.png", (30, 30, 90, 70))
TERMS = {RED: {1: 1.0}, PINK: {1: 0.5, 2: 2.0}, BLUE: {2: 1.5, 900: 1.0}}
"""Green has none."""
COLOURS = {
    RED: (1.0, -1.0, -1.0, 0.05),
    BLUE: (-1.0, -1.0, 1.0, 0.05),
}
"""Vectors near those of the squares, of any length."""


def write_sparse(settings: Settings) -> None:
    """Give the squares of an index their sparse vectors."""
    with closing(open_index(settings.index, None)) as index:
        written = []
        for point in index.scan(words=True):
            payload = point.parse_payload()
            terms = TERMS.get((payload.uri.rpartition("/")[2], payload.bbox))
            if terms is not None:
                indices = np.array([*terms], np.uint32)
                values = np.array([*terms.values()], np.float32)
                written.append(replace(point, sparse=SparseVector(indices, values)))
        assert len(written) == len(TERMS)
        index.restore(written)


def forbid_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test fail that builds a model to search with."""

    def build(*_: Any) -> NoReturn:
        raise AssertionError("a model was built")

    for name in ("build_embedder", "build_text_embedder", "build_segmenter"):
        monkeypatch.setattr(pipeline.search.query_models, name, build)
