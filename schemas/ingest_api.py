"""Defines what the search service is asked of ingests and re-embeddings, and what it tells."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.counts import IngestCounts

INGEST_SECTIONS = ("store", "decode", "video", "segmenter", "embedder", "labels", "runner")
"""The sections of the settings that an ingest request may change."""


class IngestRequest(BaseModel):
    """What to ingest into the service's index, with settings as `objseek ingest` has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sources: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        min_length=1, max_length=100
    )
    settings: dict[str, dict[str, object]] = {}
    limit: int | None = Field(default=None, ge=1)


class ReembedRequest(BaseModel):
    """What to embed the index's masks with; `force`: switch over even if images fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    settings: dict[str, dict[str, object]] = {}
    force: bool = False


class NewObject(BaseModel):
    """An object that was written lately, and what it is called."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    object_id: str
    label: str


class IngestState(IngestCounts):
    """How far an ingest is, or a re-embedding. Counts are of images, but for `objects`.

    `images_per_s` is that of the whole job so far. `seconds_left` is None as long as nobody can
    tell. `newest` are a few of the objects that were written last, as far as their labels are
    sure. `generation` is the one that a re-embedding has brought into use. `dropped_added` objects
    that were added by hand went with images that have changed, or are gone.
    """

    state: Literal["none", "running", "done", "failed", "cancelled"]
    note: str = ""
    sources: tuple[str, ...] = ()
    started_at: datetime | None = None
    seconds: float = 0.0
    images_per_s: float = 0.0
    seconds_left: float | None = None
    newest: tuple[NewObject, ...] = ()
    error: str | None = None
    failures: tuple[str, ...] = ()
    generation: str | None = None
    dropped_added: int = 0
