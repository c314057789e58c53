"""Records that are written to the index: one per object, one for the image as a whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt

from schemas.errors import InvalidVectorError
from schemas.ids import ImageRevision, shot_ordinal
from schemas.images import Failure, ImageRef
from schemas.labels import Naming
from schemas.masks import ObjectMask
from schemas.nesting import Level
from schemas.thumbnails import Thumbnail

Float32Vector = npt.NDArray[np.float32]
"""float32 (dim,), unit length."""
Float32Matrix = npt.NDArray[np.float32]
"""float32 (n, dim), unit rows."""

VECTOR_NAME = "clip"
WORDS_NAME = "words"
"""Sparse: BM25 over labels and the words of the uri."""
SPARSE_NAME = "sparse"
"""A user's own, whose terms count as much as their weights say."""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """When something of a video is to be seen, in seconds since its first frame.

    `start_s` and `end_s` are the first and the last of the `frames` that were looked at in which it
    is, `key_s` the one that shows it best; `shot` counts from 0. Of objects `mean_area_frac` is the
    mean share of the frame that their masks take, and `motion` how fast the centres of their boxes
    move, in diagonals of the frame a second.
    """

    start_s: float
    end_s: float
    key_s: float
    frames: int
    shot: int
    mean_area_frac: float | None = None
    motion: float | None = None


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An object with its vectors by name, and its labels if it was labelled.

    `parent_id` is the object of the same image that it is a part of (see `schemas.nesting`). One of
    a video has a `span`; its mask is that of the key frame.
    """

    object_id: uuid.UUID
    mask: ObjectMask
    vectors: Mapping[str, Float32Vector] = field(hash=False)
    naming: Naming | None = None
    thumbnail: Thumbnail | None = None
    level: Level | None = None
    parent_id: uuid.UUID | None = None
    span: TimeSpan | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The image as a whole, so that scene queries work too; of a video one of its shots."""

    object_id: uuid.UUID
    vectors: Mapping[str, Float32Vector] = field(hash=False)
    thumbnail: Thumbnail | None = None
    span: TimeSpan | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """Everything one image brings into the index.

    `added` are the objects that were added by hand, whose ids do not depend on the pipeline.
    `embedder` is the embedder's name, `labelled_by` the fingerprint of the labeller; words of
    labels with a score of at least `word_score` are searched. A video's `whole` is its first shot,
    `later_shots` are the others; it lasts `duration_s`.
    """

    ref: ImageRef
    size_hw: tuple[int, int]
    revision: ImageRevision
    segmenter: str
    embedder: str
    whole: ImageRecord
    objects: tuple[ObjectRecord, ...]
    labelled_by: str | None = None
    word_score: float = 0.0
    added: tuple[ObjectRecord, ...] = ()
    later_shots: tuple[ImageRecord, ...] = ()
    duration_s: float | None = None

    @property
    def shots(self) -> int:
        """How many shots it has: 0 for an image."""
        return 0 if self.whole.span is None else 1 + len(self.later_shots)

    @property
    def records(self) -> Iterator[tuple[int, ImageRecord | ObjectRecord]]:
        """The image as a whole, or each shot, and the objects that were found, by ordinal."""
        wholes = (self.whole, *self.later_shots)
        yield from ((shot_ordinal(shot), record) for shot, record in enumerate(wholes))
        yield from enumerate(self.objects)


Result = EmbeddedImage | Failure
"""What work on an image ends in."""


def check_vectors(image: EmbeddedImage, dim: int) -> None:
    """Raise InvalidVectorError unless every vector is float32 (dim,), finite and not zero."""
    found = (record for _, record in image.records)
    for record in chain(found, image.added):
        vector = record.vectors[VECTOR_NAME]
        where = f"{image.ref.uri}, object {record.object_id}"
        if vector.shape != (dim,) or vector.dtype != np.float32:
            raise InvalidVectorError(
                f"expected a vector of {dim} numbers in float32, "
                f"got {vector.dtype} {vector.shape} ({where})"
            )
        if not np.isfinite(vector).all() or not vector.any():
            raise InvalidVectorError(f"expected a finite vector other than zero ({where})")
