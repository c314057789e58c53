"""Tracks clips as the product does, with masks that are known, and says what each part took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.clock import Clock
from bench.kept_clips import FoundPiece, Frames, KeptClip
from pipeline.evaluation.tracking.compared_video import ComparedVideo, compare_video
from pipeline.evaluation.tracking.cuts import CutCounts, count_cuts
from pipeline.runners.piece_tracker import PieceTracker, SegmentFrames
from schemas.options import EmbedderOptions, VideoOptions
from schemas.records import Float32Matrix
from schemas.videos import TrackedPiece
from workers.protocols import ImageEmbedder, UInt8Crops
from workers.videos.join_pieces import join_pieces

_DISSOLVE_S = 1.0


@dataclass(frozen=True)
class Tracked:
    """A clip with its tracks, held against its truth.

    `spent_s` are CPU seconds by part; `embedded` are the crops and frames that were embedded, and
    `found` the masks that were found.
    """

    kept: KeptClip
    times_s: Sequence[float]
    cuts_s: Sequence[float]
    compared: ComparedVideo
    spent_s: Mapping[str, float]
    embedded: int
    found: int

    @property
    def cuts(self) -> CutCounts:
        return count_clip_cuts(self.kept, self.cuts_s)


def count_clip_cuts(kept: KeptClip, found_s: Sequence[float]) -> CutCounts:
    """Hold the cuts that are found in a clip against its own."""
    fades_s = _DISSOLVE_S if kept.clip.kind == "dissolve" else 0.0
    return count_cuts(found_s, [(cut_s, cut_s + fades_s) for cut_s in kept.clip.cuts_s])


def _known_masks(frames: Frames) -> SegmentFrames:
    """What answers with the masks of a piece, in the order of its frames."""
    rest = iter(frames)
    return lambda images: [next(rest)[1] for _ in images]


@dataclass
class _TimedEmbedder:
    """An embedder whose time counts for a clock."""

    inner: ImageEmbedder
    clock: Clock
    count: int = 0
    name: str = field(init=False)
    dim: int = field(init=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.dim = self.inner.name, self.inner.dim
        self.fingerprint = self.inner.fingerprint

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        self.count += len(crops)
        with self.clock.of("embed"):
            return self.inner.embed_images(crops)


def track_clip(
    number: int,
    kept: KeptClip,
    pieces: Iterable[FoundPiece],
    embedder: ImageEmbedder,
    options: EmbedderOptions,
) -> Tracked:
    """Track what was found in a clip, and compare it.

    Its parts: `read`, with cuts; `segment`; `embed`, the model alone; `follow`, all that is left:
    crops, colours, association.
    """
    clock = Clock()
    timed = _TimedEmbedder(embedder, clock)
    spent_s: dict[str, float] = defaultdict(float)
    tracked: list[TrackedPiece] = []
    cuts_s: list[float] = []
    times_s: set[float] = set()
    found = 0
    for each in pieces:
        with clock.of("track"):
            tracker = PieceTracker(_known_masks(each.frames), timed, options, 0)
            tracked.append(tracker.track(each.piece))
        spent_s["read"] += each.read_s
        spent_s["segment"] += each.segment_s
        cuts_s += each.piece.cuts_s
        times_s.update(frame.time_s for frame in each.piece.frames)
        found += sum(len(masks) for _, masks in each.frames)
    with clock.of("track"):
        shots = join_pieces(tracked, VideoOptions())
    spent_s["embed"] = clock.spent["embed"]
    spent_s["follow"] = clock.spent["track"] - clock.spent["embed"]
    tracks = [track for shot in shots for track in shot.tracks]
    times = sorted(times_s)
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    compared = compare_video(number, tracks, kept.find_truth(times), step_s)
    return Tracked(kept, times, cuts_s, compared, spent_s, timed.count, found)
