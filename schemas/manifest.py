"""The manifest: one row an image and attempt, independent of the index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from schemas.ids import Generation, image_id
from schemas.images import Failure, ImageRef, Stage


class State(StrEnum):
    """done: in the index. rejected: bad input. failed: to be tried again. gone: no more there."""

    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    GONE = "gone"


MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("generation", pa.string(), nullable=False),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("objects", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error_class", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One attempt at one image. `objects` counts its objects when done; the rest is empty then."""

    image_id: str
    uri: str
    version: str
    size_bytes: int
    generation: str
    fingerprint: str
    state: State
    objects: int
    stage: str
    error_class: str
    message: str
    at: datetime

    @classmethod
    def done(cls, ref: ImageRef, generation: Generation, objects: int, at: datetime) -> ManifestRow:
        return cls._row(ref, generation, State.DONE, at, objects=objects)

    @classmethod
    def failure(cls, failure: Failure, generation: Generation, at: datetime) -> ManifestRow:
        state = State.FAILED
        if failure.rejected:
            state = State.REJECTED
        elif failure.gone:
            state = State.GONE
        why = (failure.stage, failure.error_class, failure.message)
        return cls._row(failure.ref, generation, state, at, why=why)

    @classmethod
    def _row(
        cls,
        ref: ImageRef,
        generation: Generation,
        state: State,
        at: datetime,
        *,
        objects: int = 0,
        why: tuple[Stage | str, str, str] = ("", "", ""),
    ) -> ManifestRow:
        return cls(
            image_id=str(image_id(ref)),
            uri=ref.uri,
            version=ref.version,
            size_bytes=ref.size_bytes,
            generation=generation.id,
            fingerprint=generation.fingerprint,
            state=state,
            objects=objects,
            stage=str(why[0]),
            error_class=why[1],
            message=why[2],
            at=at,
        )
