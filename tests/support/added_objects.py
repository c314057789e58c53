"""What the tests of added objects share: masks, an index, and a searcher that adds them to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from support import fakes

from pipeline.index_home import IndexHome
from pipeline.jobs.added_object import ObjectToAdd, add_object
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.manifest.audit import Fault, Report
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.added import AddedObject
from schemas.masks import CocoRle
from schemas.points import Point
from workers.indexes.open import open_index

SIZE_HW = (16, 24)
IMAGES = 4
POINTS = 3 * IMAGES


def square(x: int = 2, y: int = 8, side: int = 4, size_hw: tuple[int, int] = SIZE_HW) -> CocoRle:
    mask = np.zeros(size_hw, np.bool_)
    mask[y : y + side, x : x + side] = True
    return CocoRle.from_mask(mask)


@contextmanager
def searcher_of(
    settings: Settings, embedder: fakes.MeanEmbedder | None = None
) -> Iterator[Searcher]:
    """A searcher of the generation in use, with the fakes for models."""
    home = IndexHome.current(settings)
    index = open_index(home.index, None)
    with Searcher(index, embedder or fakes.MeanEmbedder(), settings, home.generation) as made:
        yield made


def add(settings: Settings, image: Path, rle: CocoRle | None = None, label: str = "mug") -> Point:
    """Add an object to an image of an index that `fakes` made."""
    with searcher_of(settings) as searcher:
        return add_object(ObjectToAdd(image.as_uri(), rle or square(), label), searcher)


def recorded(settings: Settings) -> dict[str, AddedObject]:
    return IndexHome.current(settings).manifest.added.all()


def added_points(settings: Settings) -> dict[str, Point]:
    """Every point that is called added, by its id."""
    with open_index(IndexHome.current(settings).index, None) as index:
        return {point.id: point for point in index.scan() if point.payload.get("added")}


def run(images: Path, settings: Settings) -> IngestSummary:
    """Ingest a folder of images with the fakes for models."""
    return ingest([str(images)], settings, recipe=fakes.recipe(settings))


def faults(report: Report) -> list[tuple[Fault, int]]:
    """What is wrong with images, and how many of their points."""
    return [(finding.fault, finding.points) for finding in report.findings]
