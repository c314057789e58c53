"""What the tests of exports, backups and migrations share: a small index, and what it holds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from support import fakes

from pipeline.jobs.ingest import ingest
from pipeline.settings import Settings
from schemas.points import Point
from workers.indexes.open import open_index

IMAGES = 12


def small_index(folder: Path, name: str = "index") -> Settings:
    """An index of a few images of which one is no image, and one is gone since it was listed."""
    settings = fakes.settings(folder / name)
    images = folder / "images"
    if not images.exists():
        fakes.write_images(images, IMAGES)
        (images / "odd name\n#%.png").write_bytes((images / "000.png").read_bytes())
        (images / "broken.png").write_bytes(b"no image")
    ingest([str(images)], settings, recipe=fakes.recipe(settings))
    return settings


def raw_points(settings: Settings) -> dict[str, Point]:
    """Every point by its id."""
    with closing(open_index(settings.index, None)) as index:
        return {point.id: point for point in index.scan(words=True)}


def at(settings: Settings, location: object) -> Settings:
    """The same settings with another index."""
    index = settings.index.model_copy(update={"location": str(location)})
    return settings.model_copy(update={"index": index})
