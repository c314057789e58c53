"""Defines the manifest: one row per image and attempt, independent of the index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from schemas.ids import ImageRevision, image_id
from schemas.images import Failure, ImageRef


class State(StrEnum):
    """done: indexed. rejected: bad input. failed: to be retried. gone: no longer in the store."""

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
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("attempts", pa.int64(), nullable=False),
        pa.field("checksum", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("stamp", pa.string(), nullable=False),
        pa.field("boxes", pa.string(), nullable=False),
        pa.field("shots", pa.int64(), nullable=False),
        pa.field("has_whole", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One attempt at one image.

    When it is done, `objects` is how many objects it has and `checksum` that of its points, empty
    if it is not known. Otherwise `stage`, `error_class`, `message` and `retryable` say what went
    wrong. `attempts` counts this attempt and the failed ones at the same version before it.
    `generation` is `ImageRevision.id`. `stamp` is the last one at which a file was seen to have
    the content that `version` names; empty for other images. `boxes` is the digest of those that
    the image was segmented with, empty if there were none. `shots` is how many a video that is
    done has, 0 for an image. `has_whole`: there is a point of the image as a whole.
    """

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
    retryable: bool
    attempts: int
    checksum: str
    at: datetime
    stamp: str = ""
    boxes: str = ""
    shots: int = 0
    has_whole: bool = True

    @property
    def points(self) -> int:
        """How many points it has in the index if it is done, but for what was added by hand."""
        return self.objects + max(int(self.has_whole), self.shots)

    @property
    def ref(self) -> ImageRef:
        """The image in the version that the row tells of. Raises ValueError for another uri."""
        ref = ImageRef.from_uri(self.uri, self.version, self.size_bytes)
        return replace(ref, stamp=self.stamp)

    @classmethod
    def done(
        cls,
        ref: ImageRef,
        revision: ImageRevision,
        objects: int,
        at: datetime,
        *,
        checksum: str = "",
        attempts: int = 1,
    ) -> ManifestRow:
        return cls(
            image_id=str(image_id(ref)),
            uri=ref.uri,
            version=ref.version,
            size_bytes=ref.size_bytes,
            generation=revision.id,
            fingerprint=revision.fingerprint,
            state=State.DONE,
            objects=objects,
            stage="",
            error_class="",
            message="",
            retryable=False,
            attempts=attempts,
            checksum=checksum,
            at=at,
            stamp=ref.stamp,
        )

    @classmethod
    def failure(
        cls, failure: Failure, revision: ImageRevision, at: datetime, *, attempts: int = 1
    ) -> ManifestRow:
        state = State.FAILED
        if failure.rejected:
            state = State.REJECTED
        elif failure.gone:
            state = State.GONE
        row = cls.done(failure.ref, revision, 0, at, attempts=attempts)
        return row.with_failure(
            state, failure.stage, failure.error_class, failure.message, at,
            retryable=failure.retryable,
        )  # fmt: skip

    def with_failure(
        self,
        state: State,
        stage: str,
        error_class: str,
        message: str,
        at: datetime,
        *,
        retryable: bool,
    ) -> ManifestRow:
        """The row of the same image in a state other than done."""
        return replace(
            self,
            state=state,
            objects=0,
            shots=0,
            stage=str(stage),
            error_class=error_class,
            message=message,
            retryable=retryable,
            checksum="",
            at=at,
        )
