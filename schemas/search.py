"""Queries and hits, shared by the command line, the service and Python callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.payload import Kind, PointPayload
from schemas.records import Float32Vector

MAX_OVERLAP = 0.5
"""Default of `SearchQuery.max_overlap`."""


class Condition(BaseModel):
    """One filter condition on a payload field: `area_frac > 0.05`, `uri ^= s3://…` (prefix)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    field: str
    op: Literal["=", "!=", "<", "<=", ">", ">=", "^="]
    value: str | int | float


class SearchQuery(BaseModel):
    """Exactly one of `text`, `image_path`, `like`; `box_xyxy` is a region of the image, pixels.

    A segmenter shows a thing, its parts and groups of things: of hits in one image, the best of
    those that share more than `max_overlap` of the smaller mask stands for all; 1 keeps every hit.
    `like` asks for what all masks of that object's thing show, and what they cover is no hit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: str | None = None
    image_path: str | None = None
    box_xyxy: tuple[int, int, int, int] | None = None
    like: str | None = None
    negative_text: str | None = None
    kind: Kind | None = "object"
    limit: int = Field(default=10, ge=1, le=10_000)
    min_score: float | None = Field(default=None, allow_inf_nan=False)
    conditions: tuple[Condition, ...] = ()
    group_by_image: bool = False
    max_overlap: float = Field(default=MAX_OVERLAP, ge=0, le=1)

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        given = [x for x in (self.text, self.image_path, self.like) if x is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of a text, an image or an object, got {len(given)}"
            )
        if self.box_xyxy is not None and self.image_path is None:
            raise ValueError("a box needs an image")
        return self


class SearchHit(BaseModel):
    """One found object: where it is, its mask, and how sure. `score` is the cosine similarity."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    object_id: str
    score: float
    payload: PointPayload


@dataclass(frozen=True, slots=True, eq=False)
class StoredPoint:
    """A point as it is stored: `point` with score 0, `vector` float32 (dim,)."""

    point: SearchHit
    vector: Float32Vector


@dataclass(frozen=True, slots=True, eq=False)
class RawPoint:
    """A point just as an index has it, not looked at: `vector` float32 (any,), None without one."""

    id: str
    payload: Mapping[str, Any]
    vector: Float32Vector | None


@dataclass(frozen=True, slots=True, eq=False)
class IndexQuery:
    """What an index searches for: the nearest points to `vector` under all `conditions`.

    `max_overlap`: see `SearchQuery`.
    """

    vector: Float32Vector
    limit: int
    conditions: tuple[Condition, ...] = ()
    min_score: float | None = None
    group_by_image: bool = False
    max_overlap: float = 1.0

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or not np.isfinite(self.vector).all():
            raise ValueError(f"expected a finite vector (dim,), got shape {self.vector.shape}")


@dataclass(frozen=True, slots=True)
class EmbedderCount:
    """How many points of an index one embedder (by fingerprint of the pipeline) has made."""

    embedder: str
    points: int


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index holds. `size_bytes` is None for a server."""

    dim: int
    points: int
    objects: int
    images: int
    embedders: tuple[EmbedderCount, ...]
    segmenters: tuple[str, ...]
    generations: int
    size_bytes: int | None
