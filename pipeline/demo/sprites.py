"""Loads the bundled sprites: drawings that no training has seen, some of styles that it has not."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

STYLES = ("noto", "fluent-emoji", "twemoji")
LICENCES = {"noto": "Apache-2.0", "fluent-emoji": "MIT", "twemoji": "CC-BY-4.0"}
HELD_OUT_LICENCES = {"fluent-emoji-3d": "MIT", "noto-line": "OFL-1.1"}
"""Styles of which no training and no fit has seen a drawing."""
_BUNDLE, _HELD_OUT_BUNDLE = "sprites.parquet", "held_out_sprites.parquet"


@dataclass(frozen=True)
class Concept:
    """What a sprite depicts: `label` as people call it, `keywords` as they may search for it."""

    name: str
    label: str
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Sprite:
    """One drawing of a concept; `rgba` is uint8 (height, width, 4), trimmed to what is visible."""

    concept: Concept
    style: str
    rgba: np.ndarray


def trim(rgba: np.ndarray) -> np.ndarray:
    """Cut the empty margin off a sprite: uint8 (height, width, 4) in and out."""
    visible = rgba[..., 3] > 8
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if rows.size == 0:
        raise ValueError("a sprite has no visible pixel")
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def write_bundle(path: Path, sprites: Iterable[Sprite], quality: int = 80) -> None:
    """Write sprites of styles whose licence is known as WebP in Parquet."""
    licences = LICENCES | HELD_OUT_LICENCES
    rows = []
    for sprite in sprites:
        buffer = io.BytesIO()
        Image.fromarray(sprite.rgba).save(buffer, "WEBP", quality=quality)
        rows.append(
            {
                "name": sprite.concept.name,
                "label": sprite.concept.label,
                "keywords": list(sprite.concept.keywords),
                "style": sprite.style,
                "licence": licences[sprite.style],
                "webp": buffer.getvalue(),
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


@cache
def bundled_sprites() -> tuple[Sprite, ...]:
    """Held-out drawings in styles that the models have learnt from, in the bundle's order."""
    return _read_bundle(_BUNDLE)


@cache
def held_out_sprites() -> tuple[Sprite, ...]:
    """Drawings in styles that no training and no fit has seen, in the bundle's order."""
    return _read_bundle(_HELD_OUT_BUNDLE)


def _read_bundle(name: str) -> tuple[Sprite, ...]:
    with resources.files("pipeline.demo").joinpath(name).open("rb") as file:
        table = pq.read_table(file)
    sprites = []
    for row in table.to_pylist():
        concept = Concept(row["name"], row["label"], tuple(row["keywords"]))
        rgba = np.asarray(Image.open(io.BytesIO(row["webp"])).convert("RGBA"))
        sprites.append(Sprite(concept, row["style"], rgba))
    return tuple(sprites)
