"""Reads and writes masks a strip of columns at a time, so that none is ever held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from schemas.masks import BoolMask, CocoRle
from workers.rle_numba import Int64s, encode_changes

STRIP_PX = 1024
"""So many columns, or rows, of a mask are worked on at a time."""

Rectangle = tuple[slice, slice]
"""Rows and columns."""
Decide = Callable[[Rectangle, BoolMask, Rectangle], BoolMask]
"""Part of an image, a mask there, and the part of that which is wanted: that part's mask to be."""


@dataclass(slots=True)
class StripWriter:
    """Encodes a mask whose strips come from left to right. Columns that do not come are outside."""

    size_hw: tuple[int, int]
    _changes: list[Int64s] = field(default_factory=list, init=False)
    _end: int = field(default=0, init=False)
    _last: bool = field(default=False, init=False)

    def write(self, first: int, strip: BoolMask) -> None:
        """Columns from `first` on: bool (height, columns), of the mask's whole height."""
        height = self.size_hw[0]
        self._close(first)
        pixels = np.concatenate([[self._last], strip.ravel(order="F")])
        self._changes.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + first * height)
        self._end, self._last = first + strip.shape[1], bool(pixels[-1])

    def finish(self) -> CocoRle:
        """The mask."""
        height, width = self.size_hw
        self._close(width)
        changes = np.concatenate([np.empty(0, np.int64), *self._changes]).astype(np.int64)
        (counts,) = encode_changes(changes, np.array([0, len(changes)]), height * width)
        return CocoRle(self.size_hw, counts)

    def _close(self, first: int) -> None:
        if self._last and first > self._end:
            self._changes.append(np.array([self._end * self.size_hw[0]]))
            self._last = False


def cut_strips(first: int, end: int, strip_px: int) -> Iterator[tuple[int, int]]:
    """Where each strip begins and ends."""
    for begin in range(first, end, strip_px):
        yield begin, min(begin + strip_px, end)


def decide_anew(
    rle: CocoRle, margin: int, halo: int, decide: Decide, strip_px: int = STRIP_PX
) -> CocoRle:
    """A mask, which is not empty, with its border decided anew, the same whatever `strip_px`.

    Nothing changes further than `margin` from the border, and what is `halo` away has no say.
    `decide` gets squares of `strip_px` pixels and all around them that has a say, as far as the
    border comes near.
    """
    height, width = rle.size_hw
    left, top, right, bottom = rle.bbox_xyxy
    left, right = max(left - margin, 0), min(right + margin, width)
    top, bottom = max(top - margin, 0), min(bottom + margin, height)
    writer = StripWriter(rle.size_hw)
    for begin, end in cut_strips(left, right, strip_px):
        first, stop = max(begin - halo, 0), min(end + halo, width)
        mask = rle.decode_columns(first, stop)
        strip = mask[:, begin - first : end - first].copy(order="F")
        for upper, lower in cut_strips(top, bottom, strip_px):
            rows = slice(max(upper - halo, 0), min(lower + halo, height))
            part = np.ascontiguousarray(mask[rows])
            if part.any() and not part.all():
                wanted = (
                    slice(upper - rows.start, lower - rows.start),
                    slice(begin - first, end - first),
                )
                strip[upper:lower] = decide((rows, slice(first, stop)), part, wanted)
        writer.write(begin, strip)
    return writer.finish()
