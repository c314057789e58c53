"""A small service for tests: coloured squares in an index, and whoever asks it, in this process."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient
from support.colour_world import COLOURS, NAME, OPTIONS, ColourEmbedder, build_index

from pipeline.search.box_prompt import box_mask
from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.settings import Settings
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.records import Float32Matrix
from schemas.serve_options import ServeOptions
from workers.indexes.open import open_index

OWNER = "the-owner's-token"
BASE = "http://127.0.0.1"


class AnyTextEmbedder(ColourEmbedder):
    """Takes a text that is no colour for one of its own."""

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        colours = [COLOURS.get(text, (zlib.crc32(text.encode()) % 255, 40, 9)) for text in texts]
        return self._rows([np.array(colour) for colour in colours])


class SquareSegmenter:
    """Finds at a point the square of 20 pixels around it."""

    name = "square"
    fingerprint = "square"
    notes: tuple[str, ...] = ()

    def segment(self, images: list[UInt8Image]) -> list[list[ObjectMask]]:
        return [[] for _ in images]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        x, y = int(point_xy[0]), int(point_xy[1])
        height, width = image.shape[:2]
        box = (max(0, x - 10), max(0, y - 10), min(width, x + 10), min(height, y + 10))
        return box_mask(box, (height, width))


def settings_of(folder: Path, **serve: object) -> Settings:
    """An index of the coloured squares in `folder`, made if need be."""
    made = (folder / "index").exists()
    settings = Settings() if made else build_index(folder)
    index = settings.index.model_copy(update={"location": str(folder / "index")})
    return settings.model_copy(
        update={
            "index": index,
            "embedder": OPTIONS,
            "serve": ServeOptions.model_validate(serve),
        }
    )


@contextmanager
def served(
    folder: Path, *, read_only: bool = False, raising: bool = True, **serve: object
) -> Iterator[TestClient]:
    """A client of a service over the squares, with its fakes for models."""
    settings = settings_of(folder, **serve)
    searcher = Searcher(open_index(settings.index, None), AnyTextEmbedder(NAME), settings)
    searcher.models._segmenter = SquareSegmenter()
    app = build_app(searcher, settings, OWNER, read_only=read_only)
    with TestClient(
        app, base_url=BASE, raise_server_exceptions=raising, client=("127.0.0.1", 50000)
    ) as client:
        yield client


def owner() -> dict[str, str]:
    return {"Authorization": f"Bearer {OWNER}"}
