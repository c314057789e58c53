"""Holds the tracks of a video against its true objects: which track shows which, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.tracking.comparison import (
    MATCH_IOU,
    FrameComparison,
    TrueMask,
    compare_frame,
)
from schemas.masks import CocoRle
from schemas.overlaps import mask_iou
from schemas.videos import Track

_SHOWN_SHARE = 0.5
_FEWEST_FRAMES = 2
_DIGITS_S = 3

Span = tuple[float, float]
"""The times of the first and the last frame, seconds."""
TrueFrames = Mapping[float, Mapping[int, TrueMask]]
"""What there is in each frame that is looked at, by its time: masks of objects by their ids."""


@dataclass(frozen=True, slots=True)
class TrueSpan:
    """When an object is to be found, and in how many frames it counts."""

    span_s: Span
    frame_count: int


@dataclass(frozen=True, slots=True, eq=False)
class ComparedVideo:
    """The tracks of a video with the object that each shows, None: none.

    `agreed[k]` has in how many frames track k and an object agree, of those that it does.
    `objects` are those that are to be found in two frames or more.
    """

    tracks: Sequence[Track]
    shown: Sequence[int | None]
    agreed: Sequence[Mapping[int, int]]
    objects: Mapping[int, TrueSpan]
    frames: Sequence[FrameComparison]
    step_s: float

    def tracks_of(self, object_id: int) -> list[int]:
        """The places of the tracks that show an object."""
        return [place for place, shown in enumerate(self.shown) if shown == object_id]


def compare_video(
    number: int, tracks: Sequence[Track], truth: TrueFrames, step_s: float
) -> ComparedVideo:
    """Compare tracks with the truth of their frames, which are `step_s` apart.

    A track shows the object with which it agrees in most of its frames, in at least half of them:
    where both masks have an IoU of 0.5, whether the object counts there or not. The ids in `frames`
    are of video `number`, to be measured with those of others. Raises KeyError for a track seen in
    a frame that has no truth.
    """
    found: dict[float, dict[int, CocoRle]] = {_key(time_s): {} for time_s in truth}
    for place, track in enumerate(tracks):
        for each in track.sightings:
            found[_key(each.time_s)][place] = each.mask.rle
    agreed: list[dict[int, int]] = [defaultdict(int) for _ in tracks]
    frames = []
    for time_s, true in truth.items():
        here = found[_key(time_s)]
        iou = mask_iou(list(here.values()), [mask.rle for mask in true.values()])
        for row, place in enumerate(here):
            for column, object_id in enumerate(true):
                agreed[place][object_id] += bool(iou[row, column] >= MATCH_IOU)
        frames.append(
            compare_frame(
                {(number, object_id): mask for object_id, mask in true.items()},
                {(number, place): rle for place, rle in here.items()},
            )
        )
    shown = [
        _find_shown(counts, len(track.sightings))
        for counts, track in zip(agreed, tracks, strict=True)
    ]
    return ComparedVideo(tracks, shown, agreed, _find_spans(truth), frames, step_s)


def measure_span_iou(span_s: Span, other_s: Span, step_s: float) -> float:
    """Intersection over union of two spans; a frame stands for the `step_s` that follow it."""
    common = min(span_s[1], other_s[1]) - max(span_s[0], other_s[0]) + step_s
    return max(common, 0.0) / (max(span_s[1], other_s[1]) - min(span_s[0], other_s[0]) + step_s)


def _key(time_s: float) -> float:
    """Times are equal where they are to the millisecond: containers round them."""
    return round(time_s, _DIGITS_S)


def _find_shown(counts: Mapping[int, int], frame_count: int) -> int | None:
    best = max(counts, key=lambda object_id: counts[object_id], default=None)
    return best if best is not None and counts[best] >= _SHOWN_SHARE * frame_count else None


def _find_spans(truth: TrueFrames) -> dict[int, TrueSpan]:
    times: dict[int, list[float]] = defaultdict(list)
    for time_s, true in truth.items():
        for object_id, mask in true.items():
            if mask.counts:
                times[object_id].append(time_s)
    return {
        object_id: TrueSpan((min(seen), max(seen)), len(seen))
        for object_id, seen in times.items()
        if len(seen) >= _FEWEST_FRAMES
    }
