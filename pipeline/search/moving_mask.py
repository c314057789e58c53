"""Says where the object of a track is at any time, between the frames that were looked at too."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.masks import BoolMask, CocoRle, ObjectMask
from schemas.search import Box
from schemas.videos import Sighting

# A step or two without the object are a frame in which it was not found; more, and it was hidden.
_LONGEST_GAP_STEPS = 2.5
# Times were rounded to microseconds where they were kept.
_SLACK_S = 1e-3


@dataclass(frozen=True, slots=True)
class PlacedMask:
    """A mask of a frame that was looked at, and how far it has moved by another time, in pixels."""

    mask: ObjectMask
    moved_xy: tuple[float, float] = (0.0, 0.0)

    def to_rle(self) -> CocoRle:
        """The mask moved by whole pixels; what leaves the picture is cut off."""
        dx, dy = (round(by) for by in self.moved_xy)
        if (dx, dy) == (0, 0):
            return self.mask.rle
        return CocoRle.from_mask(_move(self.mask.rle.decode(), dx, dy))


class MovingMask:
    """The masks of one object, by their times.

    `step_s` is the usual time between the frames that were looked at: where the object was not seen
    for clearly longer it is taken for hidden. None: it is never hidden.
    """

    def __init__(self, sightings: Sequence[Sighting], step_s: float | None = None) -> None:
        self._sightings = sorted(sightings, key=lambda each: each.time_s)
        self._times_s = [each.time_s for each in self._sightings]
        self._step_s = step_s

    def find_box(self, start_s: float, end_s: float) -> Box | None:
        """What the object's boxes cover from one time to another; None where it is not seen."""
        boxes = [
            each.mask.bbox_xyxy
            for each in self._sightings
            if start_s - _SLACK_S <= each.time_s <= end_s + _SLACK_S
        ]
        if not boxes:
            return None
        x0, y0, x1, y1 = zip(*boxes, strict=True)
        return min(x0), min(y0), max(x1), max(y1)

    def at(self, time_s: float, hold_s: float = 0.0) -> PlacedMask | None:
        """The mask that is nearest in time, moved on the straight way between both boxes' centres.

        None where the object is hidden, and more than `hold_s` before or after it was seen.
        """
        after = bisect_right(self._times_s, time_s)
        around = self._sightings[max(after - 1, 0) : after + 1]
        if not around:
            return None
        nearest = min(around, key=lambda each: abs(each.time_s - time_s))
        away_s = abs(nearest.time_s - time_s)
        if len(around) == 1 or after == 0:
            return PlacedMask(nearest.mask) if away_s <= hold_s + _SLACK_S else None
        before, then = around
        gap_s = then.time_s - before.time_s
        if self._step_s is not None and gap_s > _LONGEST_GAP_STEPS * self._step_s:
            return PlacedMask(nearest.mask) if away_s <= self._step_s / 2 + _SLACK_S else None
        share = (time_s - before.time_s) / gap_s
        share -= nearest is then
        (x0, y0), (x1, y1) = _centre(before.mask), _centre(then.mask)
        return PlacedMask(nearest.mask, ((x1 - x0) * share, (y1 - y0) * share))


def _centre(mask: ObjectMask) -> tuple[float, float]:
    x0, y0, x1, y1 = mask.bbox_xyxy
    return (x0 + x1) / 2, (y0 + y1) / 2


def _move(mask: BoolMask, dx: int, dy: int) -> BoolMask:
    height, width = mask.shape
    moved = mask.copy()
    moved[:] = False
    to_y, to_x = slice(max(dy, 0), max(height + dy, 0)), slice(max(dx, 0), max(width + dx, 0))
    from_y, from_x = slice(max(-dy, 0), max(height - dy, 0)), slice(max(-dx, 0), max(width - dx, 0))
    moved[to_y, to_x] = mask[from_y, from_x]
    return moved
