"""Defines what an example of a query stands for."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Float32Vector
from schemas.search import ImageCopy, Region


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedExample:
    """What an example stands for: a unit vector, float32 (dim,).

    `object_ids` are those of indexed objects that show the same; `region` is the part of a picture
    that was meant, `copies` the indexed images that a whole picture is a copy of.
    """

    vector: Float32Vector
    weight: float
    object_ids: frozenset[str] = frozenset()
    region: Region | None = None
    copies: tuple[ImageCopy, ...] = ()
