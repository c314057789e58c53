"""Tracks a piece of a video: segments its frames, embeds what is in them, and follows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import EmbedderOptions
from schemas.records import Float32Matrix, Float32Vector
from schemas.thumbnails import Thumbnail
from schemas.videos import DecodedPiece, SampledFrame, ShotPart, Track, TrackedPiece
from workers.batching import batched
from workers.embedders.embed_objects import embed_pairs
from workers.images.crops import square_image
from workers.images.surroundings import Box, square_crop_box
from workers.images.thumbnails import make_thumbnail
from workers.protocols import ImageEmbedder
from workers.videos.open_track import embed_best
from workers.videos.propagator import MaskCarrier, Propagator
from workers.videos.seen_object import SeenObject, list_seen
from workers.videos.track_frames import track_frames

SegmentFrames = Callable[[Sequence[UInt8Image]], list[list[ObjectMask]]]
"""As `Segmenter.segment`."""
_FRAMES_AT_ONCE = 8
_WHOLE_EVERY_S = 4.0
"""A frame of a shot in so many seconds is embedded as a whole: they are much alike."""


@dataclass(frozen=True)
class PieceTracker:
    """Tracks pieces with models that are loaded. `thumbnail_px` 0: no thumbnails are made.

    With a `propagator` masks are carried from each frame to the next of its shot and piece.
    """

    segment: SegmentFrames
    embedder: ImageEmbedder
    options: EmbedderOptions
    thumbnail_px: int
    propagator: Propagator | None = None

    def track(self, piece: DecodedPiece) -> TrackedPiece:
        """The shots of a piece, and the tracks in each. Raises what models raise."""
        pixels = {frame.time_s: frame.pixels for frame in piece.frames}

        def embed(masks: Sequence[tuple[float, ObjectMask]]) -> Float32Matrix:
            pairs = [(pixels[time_s], mask) for time_s, mask in masks]
            return embed_pairs(pairs, self.embedder, self.options)

        shots = list(split_shots(piece.frames, piece.cuts_s))
        found = [track_frames(self._look(frames), self._open_carrier(frames)) for frames in shots]
        embed_best([track for tracks in found for track in tracks], embed)
        tracks = [
            self._add_thumbnails([track.close() for track in tracks], frames)
            for tracks, frames in zip(found, shots, strict=True)
        ]
        parts = tuple(map(self._describe_shot, shots))
        return TrackedPiece(piece.piece, piece.info, parts, tuple(tracks), piece.is_last)

    def _open_carrier(self, frames: Sequence[SampledFrame]) -> MaskCarrier | None:
        if self.propagator is None:
            return None
        return self.propagator.open_shot([frame.pixels for frame in frames])

    def _look(self, frames: Sequence[SampledFrame]) -> list[tuple[float, tuple[SeenObject, ...]]]:
        """The times of frames, and what is in each."""
        looked = []
        for batch in batched(frames, _FRAMES_AT_ONCE):
            found = self.segment([frame.pixels for frame in batch])
            for frame, masks in zip(batch, found, strict=True):
                looked.append((frame.time_s, list_seen(frame.time_s, frame.pixels, masks)))
        return looked

    def _describe_shot(self, frames: Sequence[SampledFrame]) -> ShotPart:
        times_s = tuple(frame.time_s for frame in frames)
        chosen = choose_wholes(times_s)
        wholes = [square_image(frames[k].pixels, self.options.cutout_fill) for k in chosen]
        vectors = self.embedder.embed_images(wholes)
        total: Float32Vector = vectors.sum(axis=0) * np.float32(len(frames) / len(chosen))
        best = int(np.argmax(vectors @ total))
        typical = frames[chosen[best]]
        height, width = typical.pixels.shape[:2]
        return ShotPart(
            times_s,
            total,
            typical.time_s,
            vectors[best],
            self._cut(typical.pixels, (0, 0, width, height)),
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


def choose_wholes(times_s: Sequence[float]) -> list[int]:
    """The places of those frames of a shot that are embedded as wholes, 1 or more."""
    count = len(times_s)
    parts = min(count, max(1, math.ceil((times_s[-1] - times_s[0]) / _WHOLE_EVERY_S)))
    return [(2 * part + 1) * count // (2 * parts) for part in range(parts)]
