"""Finds where shots of a video begin, from small images of its frames.

Hard cuts are steps from frame to frame, dissolves changes of colours within a second, both far
above what is usual around them (as PySceneDetect's adaptive detector compares), so that fast motion
is none. A cut that is not there costs more than one that is missed: it tears tracks apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SmallImages = npt.NDArray[np.uint8]
"""uint8 (frames, height, width, 3) RGB, of even sides."""
_Times = npt.NDArray[np.float64]

CONTEXT_S = 3.0
"""What a cut depends on: frames at most so much before and after it."""

# Of 256 levels, this mean change (after gains are levelled) is a step of 1.
_FULL_STEP = 64.0
_HARD, _HARD_RATIO = 0.25, 3.0
_AROUND_S = 0.5
# What was there before is back after a flash, which lasts no longer than this.
_FLASH_S = 0.35
_STAYS = 0.5
_APART_S = 0.2
_GAIN = 2.0

_GRID_S = 0.125
_NEAR_S, _FAR_S = 0.25, 0.75
_SLOW, _SLOW_RATIO = 0.18, 3.0
_USUAL_FROM_S, _USUAL_TO_S = 1.0, 1.5
_NO_DISSOLVE_S = 1.0
_SLACK_S = 1e-6
_DARK, _GREY = 32, 32
_BINS = 256
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
    return sorted({*hard, *_find_dissolves(times_s, images, hard)})


def measure_change(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> _Times:
    """0 (none) to 1 of pairs of images; float32 (..., height, width, 3), broadcast.

    A change of brightness by one factor for the whole image (up to 2) is levelled first.
    """
    axes = (-3, -2, -1)
    gain = (after.mean(axes, keepdims=True) + 1) / (before.mean(axes, keepdims=True) + 1)
    levelled = np.minimum(before * np.clip(gain, 1 / _GAIN, _GAIN), 255)
    change = np.abs(levelled - after).mean(axes, dtype=np.float64)
    share: _Times = np.minimum(change / _FULL_STEP, 1)
    return share


def _halve(images: SmallImages) -> npt.NDArray[np.float32]:
    count, height, width, _ = images.shape
    cells = images.reshape(count, height // 2, 2, width // 2, 2, 3)
    return np.concatenate(
        [
            cells[at : at + _CHUNK].mean((2, 4), dtype=np.float32)
            for at in range(0, max(count, 1), _CHUNK)
        ]
    )


def _find_hard_cuts(times_s: _Times, tiny: npt.NDArray[np.float32]) -> list[int]:
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


def _stays(times_s: _Times, tiny: npt.NDArray[np.float32], row: int, step: float) -> bool:
    """Whether what comes after differs from what was before: else it was a flash."""
    begin = np.searchsorted(times_s, times_s[row] - _FLASH_S - _SLACK_S)
    end = np.searchsorted(times_s, times_s[row] + _FLASH_S + _SLACK_S)
    onset = measure_change(tiny[row - 1], tiny[row:end])
    ending = measure_change(tiny[min(begin, row - 1) : row], tiny[row])
    return bool(min(onset.min(), ending.min()) >= _STAYS * step)


def _find_dissolves(times_s: _Times, images: SmallImages, hard: list[int]) -> list[int]:
    """First frames that are more like what follows than like what was before."""
    slots = np.floor(times_s / _GRID_S + _SLACK_S)
    grid = np.flatnonzero(np.diff(slots, prepend=-np.inf) > 0)
    at_s, histograms = times_s[grid], _histograms(images[grid])
    sides = [_find_sides(at_s, histograms, now) for now in at_s]
    changes = np.array([0.0 if side is None else _measure_lost(*side) for side in sides])
    cuts = []
    for place in np.flatnonzero(changes >= _SLOW):
        away, side = np.abs(at_s - at_s[place]), sides[place]
        usual = changes[(away >= _USUAL_FROM_S - _SLACK_S) & (away <= _USUAL_TO_S + _SLACK_S)]
        if (
            side is not None
            and _is_largest(changes, away <= _FAR_S + _SLACK_S, int(place))
            and (not len(usual) or changes[place] >= _SLOW_RATIO * np.median(usual))
            and not (np.abs(times_s[hard] - at_s[place]) <= _NO_DISSOLVE_S).any()
        ):
            cuts.append(_find_turn(times_s, images, at_s[place], *side))
    return cuts


def _is_largest(changes: _Times, near: npt.NDArray[np.bool_], place: int) -> bool:
    rows = np.flatnonzero(near)
    earlier, later = changes[rows[rows < place]], changes[rows[rows > place]]
    return not ((earlier >= changes[place]).any() or (later > changes[place]).any())


def _find_sides(at_s: _Times, histograms: _Times, now: float) -> tuple[_Times, _Times] | None:
    """The colours before and after a time; None if there are no frames on a side.

    Medians over half a second: what flashes within it does not count.
    """
    ahead = at_s - now
    before = (ahead >= -_FAR_S - _SLACK_S) & (ahead <= -_NEAR_S + _SLACK_S)
    after = (ahead >= _NEAR_S - _SLACK_S) & (ahead <= _FAR_S + _SLACK_S)
    if not before.any() or not after.any():
        return None
    return np.median(histograms[before], 0), np.median(histograms[after], 0)


def _measure_lost(before: _Times, after: _Times) -> float:
    """0 to 1: how much of the colours is no longer there."""
    return 0.5 * float(np.abs(before - after).sum())


def _find_turn(
    times_s: _Times, images: SmallImages, now: float, before: _Times, after: _Times
) -> int:
    """The first frame near a time whose colours are nearer to those after than to those before."""
    first = int(np.searchsorted(times_s, now - _FAR_S - _SLACK_S))
    end = int(np.searchsorted(times_s, now + _FAR_S + _SLACK_S))
    histograms = _histograms(images[first:end])
    nearer = np.abs(histograms - after).sum(1) < np.abs(histograms - before).sum(1)
    # It must stay so: from the last one on that is not.
    others = np.flatnonzero(~nearer)
    turn = int(others[-1]) + 1 if len(others) else 0
    return max(first + min(turn, end - first - 1), 1)


def _histograms(images: SmallImages) -> _Times:
    """float64 (frames, 256): shares of 16 hues, 4 saturations and 4 values (HSV)."""
    shares = np.zeros((len(images), _BINS))
    for row, image in enumerate(images):
        shares[row] = np.bincount(_bins(image).ravel(), minlength=_BINS)
    return shares / max(images[0].shape[0] * images[0].shape[1] if len(images) else 1, 1)


def _bins(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """The bin of each pixel; what is dark has no hue and no saturation, what is grey no hue."""
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    value = image.max(-1).astype(np.int32)
    spread = value - image.min(-1)
    saturation = 255 * spread // np.maximum(value, 1)
    # Sixths of the circle, times 256 (Smith, Color gamut transform pairs, 1978).
    scale = np.maximum(spread, 1)
    hue = np.where(
        value == red,
        256 * (green - blue) // scale,
        np.where(
            value == green, 512 + 256 * (blue - red) // scale, 1024 + 256 * (red - green) // scale
        ),
    )
    hue = (hue % 1536) // 96
    saturation = np.where(value < _DARK, 0, saturation)
    hue = np.where((saturation < _GREY) | (value < _DARK), 0, hue)
    bins: npt.NDArray[np.intp] = hue * 16 + (saturation >> 6) * 4 + (value >> 6)
    return bins
