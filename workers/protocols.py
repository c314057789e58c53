"""Defines the interfaces of the parts that can be exchanged: embedder, store, index."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from schemas.images import ImageRef
from schemas.points import FacetCount, IndexInfo, IndexQuery, Point, PointLabels
from schemas.records import EmbeddedImage, Float32Matrix
from schemas.search import Condition, SearchHit
from schemas.tags import ChangeTags, Tags

UInt8Crops = Sequence[npt.NDArray[np.uint8]]
"""Crops of any size, each uint8 (height, width, 3) RGB."""
CROPS_AT_ONCE = 64
"""How many crops an embedder gets at a time unless the options say otherwise."""


class TextEmbedder(Protocol):
    """Turns texts into vectors of an embedder's space."""

    name: str
    dim: int

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        """float32 (len(texts), dim), unit rows."""
        ...

    def knows_text(self, text: str) -> bool:
        """Whether the model has learnt what `text` says: the vector of another says nothing."""
        ...


class ImageEmbedder(Protocol):
    """Turns crops into vectors of an embedder's space."""

    name: str
    dim: int
    fingerprint: str

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        """float32 (len(crops), dim), unit rows."""
        ...


class Embedder(ImageEmbedder, TextEmbedder, Protocol):
    """Turns crops and texts into vectors of one space."""

    def forget_texts(self) -> None:
        """Free what only texts need: from then on only images can be embedded."""
        ...


class Skipped(Protocol):
    """Counts what a listing leaves out, by reason."""

    def __call__(self, reason: str, uri: str) -> None: ...


class ObjectStore(Protocol):
    """Where images come from."""

    def list_images(self, skipped: Skipped) -> Iterator[ImageRef]:
        """All images below the source, in a deterministic order, streamed."""
        ...

    def covers(self, ref: ImageRef) -> bool:
        """Whether the listing would name this image if it were there.

        Raises UsageError where the answer is unknown.
        """
        ...

    def read(self, ref: ImageRef) -> bytes:
        """The bytes of exactly the listed version.

        Raises ObjectGoneError, ObjectChangedError, StoreAccessError, StoreUnavailableError.
        """
        ...


class VectorIndex(Protocol):
    """Where vectors and payloads live. Of writers of an image, the run that started last wins.

    Conditions and queries that an index does not understand raise UsageError; an index that cannot
    be reached raises IndexUnavailableError, one that is damaged VectorIndexError.
    """

    dim: int
    images_at_once: int
    """How many are best written together."""

    def replace_images(
        self, images: Sequence[EmbeddedImage], run_started_at: datetime | None = None
    ) -> set[uuid.UUID]:
        """Upsert these images' points, then delete whatever else they had; durable on return.

        `run_started_at` is when the run of this writer began, None: now. Images that a run which
        started later has written are left alone; their ids are returned. A crash on the way is
        repaired by calling it again. Raises InvalidVectorError before anything is written.
        """
        ...

    def replace_points(
        self, points: Mapping[uuid.UUID, Sequence[Point]], run_started_at: datetime
    ) -> set[uuid.UUID]:
        """As `replace_images`, with ready points, by image id; nothing about them is checked.

        But that there is a place for their named vectors, else UsageError.
        """
        ...

    def add_objects(self, image: EmbeddedImage, run_started_at: datetime) -> None:
        """Upsert the objects that were added to an image by hand, and no others; durable on return.

        Over what a run that started later has written nothing is put. Raises InvalidVectorError
        before anything is written.
        """
        ...

    def delete_images(
        self, images: Sequence[uuid.UUID], run_started_at: datetime | None = None
    ) -> set[uuid.UUID]:
        """Remove every point of these images; durable on return.

        With `run_started_at`, points of runs that started later stay; the ids of images that have
        such points are returned.
        """
        ...

    def delete_points(self, ids: Sequence[str]) -> None:
        """Remove points by their ids; durable on return."""
        ...

    def search(self, query: IndexQuery) -> list[SearchHit]:
        """Best first; ties by object id. Raises UsageError, InvalidVectorError."""
        ...

    def neighbours(
        self,
        vectors: Float32Matrix,
        conditions: Sequence[Condition],
        limit: int,
        min_score: float,
    ) -> list[list[tuple[uuid.UUID, float]]]:
        """Of each row the ids and cosines of the nearest points, best first; ties by id.

        At most `limit` of a row, under all conditions, and of at least that cosine. `vectors` is
        float32 (n, dim), of unit length: many are searched for at once more cheaply than one by
        one, and no payload is read. Raises UsageError.
        """
        ...

    def stored(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Point]:
        """Those of the points that exist and have a vector, by id, with it but without words.

        Without thumbnails as well, as hits and what `scroll` gives are.
        """
        ...

    def vectors(
        self, ids: Sequence[uuid.UUID], *, dense: bool, words: bool, named: bool = False
    ) -> dict[uuid.UUID, Point]:
        """Those of the points that exist, by id, without payload.

        With their `dense` vectors, their `words` and `named` vectors, as asked for and there.
        """
        ...

    def thumbnails(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, bytes]:
        """The thumbnails that are kept of these points, by id: WebP files.

        One that is another point's counts as broken, and is left out.
        """
        ...

    def scroll(self, conditions: Sequence[Condition] = ()) -> Iterator[Point]:
        """Every point under all conditions, in no particular order.

        Without vector, words and thumbnail.
        """
        ...

    def scan(
        self,
        conditions: Sequence[Condition] = (),
        *,
        words: bool = False,
        sparse: bool = False,
        named: bool = False,
    ) -> Iterator[Point]:
        """As `scroll`, with vectors and thumbnails, and further vectors as far as wanted.

        With words, `sparse` vectors of the user's own, and `named` ones.
        """
        ...

    def sample(self, limit: int, conditions: Sequence[Condition] = ()) -> list[Point]:
        """Up to `limit` points under all conditions, chosen at random, with their vectors.

        All there are where they are fewer. Without words and thumbnails. No more are read.
        """
        ...

    def restore(self, points: Sequence[Point]) -> None:
        """Write points just as they are, over those of the same ids; durable on return.

        Each has a vector that fits. Nothing is fenced: nobody else writes these images meanwhile.
        Raises UsageError for named vectors that there is no place for, before anything is written.
        """
        ...

    def facet(
        self,
        field: str,
        conditions: Sequence[Condition] = (),
        limit: int = 20,
        least_score: float = 0.0,
    ) -> list[FacetCount]:
        """Values of a text field by how many points have them, most first. Raises UsageError.

        Of `labels` those count whose score is at least `least_score`.
        """
        ...

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        """How many points meet all conditions."""
        ...

    def count_up_to(self, most: int, conditions: Sequence[Condition] = ()) -> int:
        """How many points meet all conditions; `most` where they are as many or more.

        Cheap where they are many: an engine's guess of twice as many is taken for that.
        """
        ...

    def relabel(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        """Give points other labels and words; durable on return. Missing points stay missing."""
        ...

    def named_dims(self) -> dict[str, int]:
        """How many numbers the named vectors have for which there is a place, by name."""
        ...

    def change_tags(self, ids: Sequence[uuid.UUID], change: ChangeTags) -> dict[uuid.UUID, Tags]:
        """Give points the tags that `change` makes of those they have; durable on return.

        What those that exist have then, by id. A point that is written again under its id keeps
        its tags, unless it is an import's and brings tags of its own, or `restore` writes it.
        Raises what `change` does.
        """
        ...

    def info(self) -> IndexInfo:
        """What the index holds."""
        ...

    def note_broken(self, point_id: str, reason: str) -> None:
        """Remember that a point was found broken; the log tells of the first."""
        ...

    def count_broken(self) -> int:
        """How many points were found broken since it was opened.

        What is broken of a point is left out: its mask of overlaps, else it of what is found.
        """
        ...

    def give_copies(self) -> None:
        """Let processes that want to read have a copy, where they cannot read it themselves."""
        ...

    def require_writable(self) -> None:
        """Raise IndexUnavailableError where this process may only read, before long work begins."""
        ...

    def warm_up(self) -> None:
        """Read ahead what searches need, where it is far away and there is memory for it."""
        ...

    def optimize(self) -> None:
        """Put in order what was written, for quick searches; what needs it, whenever it is idle."""
        ...

    def close(self) -> None:
        """Release what is held. May be called again."""
        ...
