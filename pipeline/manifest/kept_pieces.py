"""Keeps the tracked pieces of videos that are not done, so that a run goes on inside a video."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest.part_storage import Parts
from schemas.errors import ManifestError
from schemas.ids import ImageRevision, image_id
from schemas.images import ImageRef
from schemas.piece_table import piece_from_table, piece_to_table
from schemas.videos import TrackedPiece

_FOLDER = "pieces"
_NAME = re.compile(r"part-([0-9a-f-]{36})-([0-9a-f]{32})-(\d{6,})\.parquet")


class KeptPieces:
    """Pieces by their video and the revision that they are of, a file each below a manifest."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts.below(_FOLDER, large=True)

    @cached_property
    def _names(self) -> dict[str, set[str]]:
        """By image id. Listed once: whoever keeps pieces of a video is alone with it."""
        names: dict[str, set[str]] = defaultdict(set)
        for name in self._parts.sizes():
            if match := _NAME.fullmatch(name):
                names[match[1]].add(name)
        return names

    def numbers(self, ref: ImageRef, revision: ImageRevision) -> set[int]:
        """Which pieces of a revision of a video are kept."""
        matches = (_NAME.fullmatch(name) for name in self._names[str(image_id(ref))])
        return {int(match[3]) for match in matches if match and match[2] == revision.id}

    def keep(self, piece: TrackedPiece, revision: ImageRevision) -> None:
        """Keep a piece, durably. Raises what `Parts` raise."""
        name = _name_file(piece.ref, revision, piece.piece.number)
        with self._parts.create(name) as file:
            pq.write_table(piece_to_table(piece), file, compression="zstd")
        self._names[str(image_id(piece.ref))].add(name)

    def read(
        self, ref: ImageRef, revision: ImageRevision, numbers: Iterable[int]
    ) -> Iterator[TrackedPiece]:
        """These pieces, one at a time. Raises ManifestError for one that is damaged."""
        for number in numbers:
            name = _name_file(ref, revision, number)
            try:
                with self._parts.open(name) as file:
                    yield piece_from_table(pq.read_table(file), ref)
            except (OSError, ValueError, KeyError, pa.ArrowException) as exc:
                raise ManifestError(
                    f"expected a piece of a video in {name}, got: {exc} ({ref.uri})"
                ) from exc

    def remove(self, refs: Iterable[ImageRef]) -> None:
        """Remove all pieces of these videos, of whatever revision."""
        names = [name for ref in refs for name in self._names.pop(str(image_id(ref)), ())]
        if names:
            self._parts.remove(names)

    def drop(self) -> None:
        """Remove all pieces."""
        if names := self._parts.sizes():
            self._parts.remove(names)


def _name_file(ref: ImageRef, revision: ImageRevision, number: int) -> str:
    return f"part-{image_id(ref)}-{revision.id}-{number:06}.parquet"
