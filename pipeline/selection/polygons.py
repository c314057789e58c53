"""Traces masks as polygons: the outlines of all parts, joined into one."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from schemas.masks import BoolMask

Polygon = npt.NDArray[np.float64]
"""float64 (n, 2): x and y of its corners in pixels; the corner of the first pixel is 0, 0."""
_Corner = tuple[int, int]
# A staircase of single pixels becomes a line.
_SLACK_PX = 1.0
_FEW_CORNERS = 12


def trace_polygon(mask: BoolMask) -> Polygon | None:
    """One polygon around all of a mask, bool (height, width); None for one without a pixel.

    It follows the borders of pixels to within a pixel. Parts that lie apart are joined by lines of
    no width, as formats want one polygon an object; holes are filled.
    """
    outlines = [
        outline for loop in _trace_loops(mask) if (outline := _to_outline(loop)) is not None
    ]
    outlines.sort(key=len, reverse=True)
    if not outlines:
        return None
    joined, *others = outlines
    for other in others:
        joined = _join(joined, other)
    return joined


def _trace_loops(mask: BoolMask) -> list[list[_Corner]]:
    """The borders of a mask as loops of corners, x and y, with the mask on the right."""
    padded = np.pad(mask, 1)
    following: dict[_Corner, list[_Corner]] = defaultdict(list)
    for (dx, dy), (begin, end) in {
        (0, -1): ((0, 0), (1, 0)),
        (1, 0): ((1, 0), (1, 1)),
        (0, 1): ((1, 1), (0, 1)),
        (-1, 0): ((0, 1), (0, 0)),
    }.items():
        beside = np.roll(padded, (-dy, -dx), (0, 1))
        for y, x in np.argwhere(padded & ~beside).tolist():
            corner = (x - 1 + begin[0], y - 1 + begin[1])
            following[corner].append((x - 1 + end[0], y - 1 + end[1]))
    loops = []
    while following:
        start = next(iter(following))
        loops.append(_follow(start, following))
    return loops


def _follow(start: _Corner, following: dict[_Corner, list[_Corner]]) -> list[_Corner]:
    """A loop from `start`, whose steps are taken out of `following`."""
    loop, at, before = [start], start, None
    while True:
        steps = following[at]
        step = steps[0] if before is None or len(steps) == 1 else _turn_right(before, at, steps)
        steps.remove(step)
        if not steps:
            del following[at]
        if step == start:
            return loop
        loop.append(step)
        before, at = at, step


def _turn_right(before: _Corner, at: _Corner, steps: list[_Corner]) -> _Corner:
    """Where pixels touch at a corner alone, stay with the same one."""
    dx, dy = at[0] - before[0], at[1] - before[1]
    right = (at[0] - dy, at[1] + dx)
    return right if right in steps else steps[0]


def _to_outline(loop: list[_Corner]) -> Polygon | None:
    """The polygon of a loop without corners that say little; None for that of a hole."""
    corners: Polygon = np.array(loop, np.float64)
    after = np.roll(corners, -1, axis=0)
    if np.sum(corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]) <= 0:
        return None
    turns = _cross(corners - np.roll(corners, 1, axis=0), after - corners) != 0
    corners = corners[turns]
    if len(corners) <= _FEW_CORNERS:
        return corners
    # From two corners that lie far apart, so that each half is a line to be simplified.
    far = int(np.argmax(np.sum((corners - corners[0]) ** 2, axis=1)))
    closed = np.vstack([corners, corners[:1]])
    return np.vstack([_simplify(closed[: far + 1])[:-1], _simplify(closed[far:])[:-1]])


def _simplify(line: Polygon) -> Polygon:
    """The line by fewer of its corners (D. H. Douglas and T. K. Peucker, 1973)."""
    kept = np.zeros(len(line), np.bool_)
    kept[[0, -1]] = True
    spans = [(0, len(line) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        along = line[last] - line[first]
        apart = np.abs(_cross(along, line[first + 1 : last] - line[first])) / np.hypot(*along)
        worst = int(np.argmax(apart))
        if apart[worst] > _SLACK_PX:
            middle = first + 1 + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return line[kept]


def _cross(one: Polygon, other: Polygon) -> npt.NDArray[np.float64]:
    crossed: npt.NDArray[np.float64] = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return crossed


def _join(one: Polygon, other: Polygon) -> Polygon:
    """Around one, over to the other where they are nearest, around it, and back."""
    apart = np.sum((one[:, None] - other[None]) ** 2, axis=2)
    here, there = np.unravel_index(int(np.argmin(apart)), apart.shape)
    return np.vstack(
        [one[: here + 1], other[there:], other[: there + 1], one[here:]],
    )
