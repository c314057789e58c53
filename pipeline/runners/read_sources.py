"""Reads what workers are given: images, pieces of videos, and what needs no reading."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.runners.recipe import Recipe
from schemas.errors import ObjseekError
from schemas.images import Failure, ImageRef, Stage
from schemas.videos import DecodedPiece, VideoPiece
from schemas.work import Readable, Source
from workers.freed_memory import return_freed_memory


def read_sources(sources: Sequence[Source], recipe: Recipe) -> list[Readable]:
    """One result for each source, in their order. Raises MemoryError as readers do."""
    images = [source for source in sources if isinstance(source, ImageRef)]
    read = iter(recipe.reader(images) if images else ())
    return [
        next(read)
        if isinstance(source, ImageRef)
        else _read_piece(source, recipe)
        if isinstance(source, VideoPiece)
        else source
        for source in sources
    ]


def _read_piece(piece: VideoPiece, recipe: Recipe) -> DecodedPiece | Failure:
    return_freed_memory()  # Only here nothing is left of the piece before, not even its pixels.
    try:
        return recipe.piece_reader(piece)
    except ObjseekError as exc:
        return Failure.from_error(piece.ref, Stage.READ, exc)
