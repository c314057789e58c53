"""Loads the bundled sprites: (concept, style) pairs that no training has seen."""

from __future__ import annotations

import io
from collections.abc import Sequence
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


def write_bundle(
    path: Path, concepts: Sequence[Concept], sprites: np.ndarray, held: np.ndarray
) -> None:
    """Write the held-out sprites, uint8 (concepts, styles, side, side, 4), as WebP in Parquet."""
    rows = []
    for row, column in zip(*np.nonzero(held), strict=True):
        buffer = io.BytesIO()
        image = Image.fromarray(trim(sprites[row, column]))
        image.save(buffer, "WEBP", quality=80, method=6)
        concept, style = concepts[row], STYLES[column]
        rows.append(
            {
                "name": concept.name,
                "label": concept.label,
                "keywords": list(concept.keywords),
                "style": style,
                "licence": LICENCES[style],
                "webp": buffer.getvalue(),
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


@cache
def bundled_sprites() -> tuple[Sprite, ...]:
    """Every sprite in the package, in the bundle's order."""
    with resources.files("pipeline.demo").joinpath("sprites.parquet").open("rb") as file:
        table = pq.read_table(file)
    sprites = []
    for row in table.to_pylist():
        concept = Concept(row["name"], row["label"], tuple(row["keywords"]))
        rgba = np.asarray(Image.open(io.BytesIO(row["webp"])).convert("RGBA"))
        sprites.append(Sprite(concept, row["style"], rgba))
    return tuple(sprites)
