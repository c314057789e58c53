"""Traces the borders of a mask: rings of its outermost pixels, those around holes too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.masks import BoolMask

Ring = npt.NDArray[np.int64]
"""int64 (points, 2): x and y of pixels of the mask; the last is joined to the first."""

# What the four pixels around a corner of the grid are, one bit each: 1 left above, 2 right above,
# 4 left below, 8 right below. The mask is taken to hang together along sides alone: where two of
# its pixels touch at a corner, each has a corner of its own there.
_LEFT_ABOVE, _RIGHT_ABOVE, _LEFT_BELOW, _RIGHT_BELOW = (0, 0), (1, 0), (0, 1), (1, 1)
_PIXEL = {
    1: _LEFT_ABOVE, 2: _RIGHT_ABOVE, 4: _LEFT_BELOW, 8: _RIGHT_BELOW,
    14: _RIGHT_BELOW, 13: _LEFT_BELOW, 11: _RIGHT_ABOVE, 7: _LEFT_ABOVE,
}  # fmt: skip
"""Where a corner goes when the border is moved inwards: to its one pixel, or across from a gap."""
_TOUCHING = {9: (_LEFT_ABOVE, _RIGHT_BELOW), 6: (_LEFT_BELOW, _RIGHT_ABOVE)}
"""Those of two corners in one place: first of what is to the left."""


def _make_tables() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """By the bits around: how many corners there are, int64 (16,), and pixels, (16, 2, 2)."""
    counts, pixels = np.zeros(16, np.int64), np.zeros((16, 2, 2), np.int64)
    for bits, pixel in _PIXEL.items():
        counts[bits], pixels[bits, 0] = 1, pixel
    for bits, both in _TOUCHING.items():
        counts[bits], pixels[bits] = 2, both
    return counts, pixels


_COUNTS, _PIXELS = _make_tables()
_GAPS = (7, 11, 13, 14)


def trace_rings(mask: BoolMask) -> list[Ring]:
    """The rings of a mask, bool (height, width), through the middles of pixels.

    A program that fills the rings by the even-odd rule, and draws them, has the mask again, pixel
    by pixel. Corners are cut where that changes nothing. A pixel alone is a ring of one point.
    """
    bits = _gather_bits(mask)
    places = np.argwhere(_COUNTS[bits])
    counts = _COUNTS[bits[tuple(places.T)]]
    # Row by row, and of two in one place first the one to which the border comes from the left.
    second = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    y, x = np.repeat(places, counts, axis=0).T
    found = bits[y, x]
    offsets = _PIXELS[found, second]
    across = np.arange(len(x)) ^ 1
    # Column by column, and of two in one place first the one whose border comes from above.
    order = np.lexsort((offsets[:, 1] * (counts.repeat(counts) == 2), y, x))
    along = np.empty_like(order)
    along[order] = order[np.arange(len(order)) ^ 1]
    points = np.stack([x, y], axis=1) + offsets - 1
    is_gap = np.isin(found, _GAPS)
    rings = _walk(across.tolist(), along.tolist())
    return [_cut_corners(points[ring], is_gap[ring]) for ring in rings]


def _gather_bits(mask: BoolMask) -> npt.NDArray[np.uint8]:
    """The bits around every corner of the grid: uint8 (height + 1, width + 1)."""
    padded: npt.NDArray[np.uint8] = np.pad(mask, 1).view(np.uint8)
    bits = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, :-1] + 8 * padded[1:, 1:]
    return bits.astype(np.uint8, copy=False)


def _walk(across: list[int], along: list[int]) -> list[list[int]]:
    """Corners in the order of each ring: from one along the row, then along the column."""
    seen = bytearray(len(across))
    rings = []
    for start in range(len(across)):
        if seen[start]:
            continue
        ring: list[int] = []
        corner = start
        while not seen[corner]:
            mate = across[corner]
            seen[corner] = seen[mate] = 1
            ring += (corner, mate)
            corner = along[mate]
        rings.append(ring)
    return rings


def _cut_corners(ring: Ring, is_gap: npt.NDArray[np.bool_]) -> Ring:
    """A ring without the points at gaps that a diagonal of one pixel passes as well."""
    steps = np.abs(np.roll(ring, -1, axis=0) - ring).sum(axis=1)
    can_go = is_gap & (steps == 1) & (np.roll(steps, 1) == 1)
    return drop_midpoints(ring[~can_go])


def drop_midpoints(ring: Ring) -> Ring:
    """A ring without points that are there twice in a row, or in the middle of a straight line."""
    moves = np.roll(ring, -1, axis=0) - ring
    ring = ring[(moves != 0).any(axis=1)] if (moves != 0).any() else ring[:1]
    after = np.roll(ring, -1, axis=0) - ring
    before = np.roll(after, 1, axis=0)
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    reverses = (before * after).sum(axis=1) <= 0
    kept: Ring = ring[turns | reverses]
    return kept
