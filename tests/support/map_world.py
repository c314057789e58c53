"""An index of labelled objects without models, and maps whose layout takes no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.colour_world import OPTIONS, build_index

from pipeline.index_home import IndexHome
from pipeline.jobs import object_map
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.labels import Label, LabelEntry, Naming
from schemas.points import PointLabels
from workers.indexes.open import open_index
from workers.indexes.points import NO_WORDS


def build_map_world(folder: Path) -> Settings:
    """Four coloured squares in three images, the red and the pink one called mugs."""
    settings = build_index(folder).model_copy(update={"embedder": OPTIONS})
    index = open_index(settings.index, None)
    named = []
    for point in index.scroll():
        if point.payload["kind"] == "object":
            reddish = point.payload["uri"].endswith("one.png")
            entry = LabelEntry("mug" if reddish else "spoon", ())
            named.append(PointLabels(point.id, Naming((Label(entry, 0.9),)), NO_WORDS))
    index.relabel(named, "test")
    index.close()
    return settings


def lay_out_in_order(vectors: np.ndarray, report: Callable[[int, int], None]) -> np.ndarray:
    """On a line, in the order of the rows."""
    report(1, 1)
    places = np.linspace(-1, 1, max(len(vectors), 2))[: len(vectors)]
    return np.stack([places, np.zeros_like(places)], axis=1).astype(np.float32)


def make_map_in_order(settings: Settings) -> None:
    """Keep a map of all objects of an index, `lay_out_in_order`."""
    with pytest.MonkeyPatch.context() as monkeypatch, Searcher.open(settings) as searcher:
        monkeypatch.setattr(object_map, "lay_out", lay_out_in_order)
        object_map.make_map(searcher, IndexHome.current(settings), 1000, lambda note: None)
