"""Ingests of videos with fakes for models, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from support import fakes

from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.payload import PointPayload
from schemas.videos import DecodedPiece, VideoPiece
from workers.indexes.open import open_index


def run(source: Path, settings: Settings, recipe: Recipe | None = None) -> IngestSummary:
    return ingest([str(source)], settings, recipe=recipe or fakes.recipe(settings))


def payloads(settings: Settings, kind: str) -> list[PointPayload]:
    """Those of a kind, by shot and time."""
    with open_index(settings.index, None) as index:  # type: ignore[attr-defined]
        found = [point.parse_payload() for point in index.scroll()]
    return sorted(
        (each for each in found if each.kind == kind),
        key=lambda each: (each.shot or 0, each.t_start or 0.0, each.area),
    )


class CountedReader:
    """Reads pieces, and notes which; `fail` is called before one is read."""

    def __init__(self, recipe: Recipe, fail: Callable[[VideoPiece], None] = lambda piece: None):
        self._read, self._fail = recipe.piece_reader, fail
        self.numbers: list[int] = []

    def __call__(self, piece: VideoPiece) -> DecodedPiece:
        self._fail(piece)
        self.numbers.append(piece.number)
        return self._read(piece)


def counting(
    settings: Settings, fail: Callable[[VideoPiece], None] = lambda piece: None
) -> tuple[Recipe, CountedReader]:
    recipe = fakes.recipe(settings)
    reader = CountedReader(recipe, fail)
    return replace(recipe, piece_reader=reader), reader


def with_margin(settings: Settings, margin: float) -> Settings:
    embedder = settings.embedder.model_copy(update={"context_margin": margin})
    return settings.model_copy(update={"embedder": embedder})


def manifest_files(settings: Settings) -> list[Path]:
    state = settings.index.state or f"{settings.index.location}/manifest"
    return [path for path in Path(state).rglob("*.parquet") if path.is_file()]
