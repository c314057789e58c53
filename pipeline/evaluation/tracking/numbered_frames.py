"""Numbers the true objects and tracks of frames from 0, for tables of each with each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.tracking.comparison import FrameComparison
from schemas.overlaps import Overlaps

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NumberedFrame:
    """A frame by the places of its objects and tracks: int64 (true,), (tracks,)."""

    true: Places
    tracks: Places
    similarity: Overlaps


@dataclass(frozen=True, slots=True, eq=False)
class NumberedFrames:
    """Frames in their order; `true_frames[k]` is in how many true object k is, and so of tracks."""

    frames: Sequence[NumberedFrame]
    true_frames: Places
    track_frames: Places

    @property
    def true_total(self) -> int:
        """True objects, once for each frame."""
        return int(self.true_frames.sum())

    @property
    def track_total(self) -> int:
        """Masks of tracks, once for each frame."""
        return int(self.track_frames.sum())

    def make_table(self) -> Overlaps:
        """Zeros for each object with each track: float64."""
        return np.zeros((len(self.true_frames), len(self.track_frames)))


def number_frames(frames: Sequence[FrameComparison]) -> NumberedFrames:
    """Ids become places in the order of their first frames.

    Raises ValueError where an id is twice in a frame.
    """
    true = _number(chain.from_iterable(frame.true_ids for frame in frames))
    tracks = _number(chain.from_iterable(frame.track_ids for frame in frames))
    numbered = [
        NumberedFrame(
            _find_places(true, frame.true_ids),
            _find_places(tracks, frame.track_ids),
            frame.similarity,
        )
        for frame in frames
    ]
    return NumberedFrames(
        numbered,
        _count([frame.true for frame in numbered], len(true)),
        _count([frame.tracks for frame in numbered], len(tracks)),
    )


def _number(ids: Iterable[Hashable]) -> dict[Hashable, int]:
    return {each: place for place, each in enumerate(dict.fromkeys(ids))}


def _find_places(place_of: dict[Hashable, int], ids: Sequence[Hashable]) -> Places:
    if len(set(ids)) != len(ids):
        raise ValueError(f"expected ids that differ within a frame, got {list(ids)}")
    return np.array([place_of[each] for each in ids], np.int64)


def _count(places: Sequence[Places], count: int) -> Places:
    counts: Places = np.bincount(np.concatenate([np.zeros(0, np.int64), *places]), minlength=count)
    return counts
