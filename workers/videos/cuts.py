"""Finds where shots of a video begin, from small images of its frames.

Hard cuts are steps from frame to frame, dissolves changes of colours within a second, both far
above what is usual around them (as PySceneDetect's adaptive detector compares), so that fast motion
is none. A cut that is not there costs more than one that is missed: it tears tracks apart.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from workers.videos.colour_histograms import Histograms, measure_histograms

SmallImages = npt.NDArray[np.uint8]
"""uint8 (frames, height, width, 3) RGB, of even sides."""
_Times = npt.NDArray[np.float64]
_Images = npt.NDArray[np.float32]

CONTEXT_S = 3.5
"""What a cut depends on: frames at most so much before and after it."""

# Of 256 levels, this mean change (after gains are levelled) is a step of 1.
_FULL_STEP = 64.0
_HARD, _HARD_RATIO = 0.2, 3.0
_AROUND_S = 0.5
# What was there before is back after a flash, which lasts no longer than this.
_FLASH_S = 0.35
_STAYS = 0.65
_APART_S = 0.2
_GAIN = 2.0

_GRID_S = 0.125
_NEAR_S, _SIDE_S = 0.25, 0.5
_FAR_S = _NEAR_S + _SIDE_S
_SLOW, _SLOW_RATIO = 0.18, 3.0
_USUAL_FROM_S, _USUAL_TO_S = 1.25, 2.0
_NO_DISSOLVE_S = 1.0
_SLACK_S = 1e-6
_CHUNK = 256


def find_cuts(times_s: _Times, images: SmallImages) -> list[int]:
    """The numbers of the frames that begin a shot, but for the first frame; increasing.

    times_s: float64 (frames,), increasing. The result for a frame depends on the frames within
    `CONTEXT_S` of it alone, and of the others that one before it.
    """
    if len(times_s) < 2:
        return []
    tiny = _halve(images)
    hard = _find_hard_cuts(times_s, tiny)
    return sorted({*hard, *_find_dissolves(times_s, tiny, hard)})


def measure_change(before: _Images, after: _Images) -> _Times:
    """0 (none) to 1 of pairs of images; float32 (..., height, width, 3), broadcast.

    A change of brightness by one factor for the whole image (up to 2) is levelled first.
    """
    axes = (-3, -2, -1)
    gain = (after.mean(axes, keepdims=True) + 1) / (before.mean(axes, keepdims=True) + 1)
    levelled = np.minimum(before * np.clip(gain, 1 / _GAIN, _GAIN), 255)
    change = np.abs(levelled - after).mean(axes, dtype=np.float64)
    share: _Times = np.minimum(change / _FULL_STEP, 1)
    return share


def _halve(images: SmallImages) -> _Images:
    corners = [images[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    total = corners[0].astype(np.float32)
    for corner in corners[1:]:
        total += corner
    total /= len(corners)
    return total


def _find_hard_cuts(times_s: _Times, tiny: _Images) -> list[int]:
    steps = np.zeros(len(times_s))
    for at in range(1, len(times_s), _CHUNK):
        end = min(at + _CHUNK, len(times_s))
        steps[at:end] = measure_change(tiny[at - 1 : end - 1], tiny[at:end])
    large = np.flatnonzero(steps >= _HARD).tolist()
    return [
        row
        for row in large
        if _stands_out(times_s, steps, row) and _stays(times_s, tiny, row, steps[row])
    ]


def _stands_out(times_s: _Times, steps: _Times, row: int) -> bool:
    """Whether a step is the largest nearby, and far above what is usual around it."""
    now = times_s[row]
    # Only steps of which both frames are near: others depend on frames from anywhere.
    first = np.searchsorted(times_s, now - _AROUND_S - _SLACK_S) + 1
    end = np.searchsorted(times_s, now + _AROUND_S + _SLACK_S)
    around = np.arange(first, end)
    around = around[around != row]
    near = np.abs(times_s[around] - now) <= _APART_S + _SLACK_S
    earlier, later = steps[around[near & (around < row)]], steps[around[near & (around > row)]]
    if (earlier >= steps[row]).any() or (later > steps[row]).any():
        return False
    return not len(around) or steps[row] >= _HARD_RATIO * np.median(steps[around])


def _stays(times_s: _Times, tiny: _Images, row: int, step: float) -> bool:
    """Whether what comes after differs from what was before: else it was a flash."""
    # A frame before that is long gone says nothing of frames before it.
    before_s = max(times_s[row - 1], times_s[row] - _AROUND_S)
    begin = np.searchsorted(times_s, before_s - _FLASH_S - _SLACK_S)
    end = np.searchsorted(times_s, times_s[row] + _FLASH_S + _SLACK_S)
    onset = measure_change(tiny[row - 1], tiny[row:end])
    ending = measure_change(tiny[min(begin, row - 1) : row], tiny[row])
    return bool(min(onset.min(), ending.min()) >= _STAYS * step)


def _find_dissolves(times_s: _Times, tiny: _Images, hard: list[int]) -> list[int]:
    """First frames that are more like what follows than like what was before."""
    slots = np.floor(times_s / _GRID_S + _SLACK_S)
    grid = np.flatnonzero(np.diff(slots, prepend=-np.inf) > 0)
    at_s, histograms = times_s[grid], _histograms(tiny[grid])
    sides = [_find_sides(at_s, histograms, now) for now in at_s]
    changes = np.array([0.0 if side is None else _measure_lost(*side) for side in sides])
    cuts = []
    for place in np.flatnonzero(changes >= _SLOW).tolist():
        side, now = sides[place], at_s[place]
        if (
            side is not None
            and _is_unusual(at_s, changes, place)
            and not (np.abs(times_s[hard] - now) <= _NO_DISSOLVE_S).any()
            and _lasts(at_s, histograms, now, changes[place])
        ):
            cuts.append(_find_turn(times_s, tiny, now, *side))
    return cuts


def _is_unusual(at_s: _Times, changes: _Times, place: int) -> bool:
    """Whether a change is the largest nearby, and far above what is usual around it."""
    away = np.abs(at_s - at_s[place])
    rows = np.flatnonzero(away <= _USUAL_FROM_S + _SLACK_S)
    earlier, later = changes[rows[rows < place]], changes[rows[rows > place]]
    if (earlier >= changes[place]).any() or (later > changes[place]).any():
        return False
    usual = changes[(away >= _USUAL_FROM_S - _SLACK_S) & (away <= _USUAL_TO_S + _SLACK_S)]
    return not len(usual) or bool(changes[place] >= _SLOW_RATIO * np.median(usual))


def _lasts(at_s: _Times, histograms: _Times, now: float, change: float) -> bool:
    """Whether the colours are as different a little further away: else something flashed."""
    sides = _find_sides(at_s, histograms, now, near_s=_FAR_S)
    return sides is not None and _measure_lost(*sides) >= _STAYS * change


def _find_sides(
    at_s: _Times, values: npt.NDArray[np.floating], now: float, near_s: float = _NEAR_S
) -> tuple[_Times, _Times] | None:
    """Values of half a second before a time and of one after it, `near_s` from it; None: of none.

    Medians: what flashes within it does not count.
    """
    ahead, far_s = at_s - now, near_s + _SIDE_S
    before = (ahead >= -far_s - _SLACK_S) & (ahead <= -near_s + _SLACK_S)
    after = (ahead >= near_s - _SLACK_S) & (ahead <= far_s + _SLACK_S)
    if not before.any() or not after.any():
        return None
    return np.median(values[before], 0), np.median(values[after], 0)


def _measure_lost(before: _Times, after: _Times) -> float:
    """0 to 1: how much of the colours is no longer there."""
    return 0.5 * float(np.abs(before - after).sum())


def _find_turn(times_s: _Times, tiny: _Images, now: float, before: _Times, after: _Times) -> int:
    """The first frame near a time whose colours are nearer to those after than to those before."""
    first = int(np.searchsorted(times_s, now - _FAR_S - _SLACK_S))
    end = int(np.searchsorted(times_s, now + _FAR_S + _SLACK_S))
    histograms = _histograms(tiny[first:end])
    nearer = np.abs(histograms - after).sum(1) < np.abs(histograms - before).sum(1)
    # It must stay so: from the last one on that is not.
    others = np.flatnonzero(~nearer)
    turn = int(others[-1]) + 1 if len(others) else 0
    return max(first + min(turn, end - first - 1), 1)


def _histograms(tiny: _Images) -> Histograms:
    """float64 (frames, bins): shares of the colours of each frame."""
    count, pixels = len(tiny), math.prod(tiny.shape[1:3])
    frames = np.repeat(np.arange(count), pixels)
    return measure_histograms(tiny.reshape(-1, 3), frames, count)
