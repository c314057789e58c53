"""Tracks a piece of a video: segments its frames, embeds what is in them, and follows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from schemas.images import DecodedImage, UInt8Image
from schemas.options import EmbedderOptions
from schemas.records import VECTOR_NAME, EmbeddedImage, Float32Vector
from schemas.thumbnails import Thumbnail
from schemas.videos import (
    DecodedPiece,
    FoundObject,
    SampledFrame,
    ShotPart,
    Track,
    TrackedPiece,
)
from workers.batching import batched
from workers.embedders.embed_objects import embed_segmented
from workers.images.surroundings import Box, square_crop_box
from workers.images.thumbnails import make_thumbnail
from workers.protocols import ImageEmbedder, Segmenter
from workers.videos.propagator import MaskCarrier, Propagator
from workers.videos.track_frames import track_frames

_FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class PieceTracker:
    """Tracks pieces with models that are loaded. `thumbnail_px` 0: no thumbnails are made.

    With a `propagator` masks are carried from each frame to the next of its shot and piece.
    """

    segmenter: Segmenter
    embedder: ImageEmbedder
    options: EmbedderOptions
    thumbnail_px: int
    propagator: Propagator | None = None

    def track(self, piece: DecodedPiece) -> TrackedPiece:
        """The shots of a piece, and the tracks in each. Raises what models raise."""
        shots, tracks = [], []
        for frames in split_shots(piece.frames, piece.cuts_s):
            embedded = list(self._embed(piece, frames))
            shots.append(self._describe_shot(frames, embedded))
            found = [
                (frame.time_s, _list_found(image))
                for frame, image in zip(frames, embedded, strict=True)
            ]
            followed = track_frames(found, self._open_carrier(frames))
            tracks.append(self._add_thumbnails(followed, frames))
        return TrackedPiece(piece.piece, piece.info, tuple(shots), tuple(tracks), piece.is_last)

    def _open_carrier(self, frames: Sequence[SampledFrame]) -> MaskCarrier | None:
        if self.propagator is None:
            return None
        return self.propagator.open_shot([frame.pixels for frame in frames])

    def _embed(
        self, piece: DecodedPiece, frames: Sequence[SampledFrame]
    ) -> Iterator[EmbeddedImage]:
        for batch in batched(frames, _FRAMES_AT_ONCE):
            masks = self.segmenter.segment([frame.pixels for frame in batch])
            images = [DecodedImage(piece.piece.ref, frame.pixels) for frame in batch]
            # Ids and names are given when the tracks of all pieces have been joined.
            yield from embed_segmented(images, masks, self.embedder, self.options, "", "")

    def _describe_shot(
        self, frames: Sequence[SampledFrame], embedded: Sequence[EmbeddedImage]
    ) -> ShotPart:
        vectors = np.array([_vector_of(image) for image in embedded], np.float32)
        total: Float32Vector = vectors.sum(axis=0)
        typical = int(np.argmax(vectors @ total))
        height, width = embedded[typical].size_hw
        thumbnail = self._cut(frames[typical].pixels, (0, 0, width, height))
        return ShotPart(
            tuple(frame.time_s for frame in frames),
            total,
            frames[typical].time_s,
            vectors[typical],
            thumbnail,
        )

    def _add_thumbnails(
        self, tracks: Sequence[Track], frames: Sequence[SampledFrame]
    ) -> tuple[Track, ...]:
        pixels = {frame.time_s: frame.pixels for frame in frames}
        done = []
        for track in tracks:
            mask = track.best.mask
            box = square_crop_box(mask.bbox_xyxy, mask.rle.size_hw)
            done.append(replace(track, thumbnail=self._cut(pixels[track.best.time_s], box)))
        return tuple(done)

    def _cut(self, pixels: UInt8Image, box_xyxy: Box) -> Thumbnail | None:
        if not self.thumbnail_px:
            return None
        return make_thumbnail(pixels, box_xyxy, self.thumbnail_px)


def split_shots(
    frames: Sequence[SampledFrame], cuts_s: Sequence[float]
) -> Iterator[Sequence[SampledFrame]]:
    """The frames of each shot, in order: a shot begins with the first frame at or after a cut."""
    times = [frame.time_s for frame in frames]
    starts = sorted({0, *np.searchsorted(times, cuts_s).tolist(), len(frames)})
    for first, end in pairwise(starts):
        yield frames[first:end]


def _list_found(image: EmbeddedImage) -> list[FoundObject]:
    return [FoundObject(record.mask, record.vectors[VECTOR_NAME]) for record in image.objects]


def _vector_of(image: EmbeddedImage) -> Float32Vector:
    return image.whole.vectors[VECTOR_NAME]
