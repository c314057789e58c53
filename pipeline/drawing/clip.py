"""Draws a part of a video with the line around an object that moves in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from pipeline.drawing.outlines import LINE_SIDE_PX, draw_line, smooth_mask
from pipeline.search.moving_mask import MovingMask, PlacedMask
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.payload import PointPayload

MOST_S = 10.0
MOST_SIDE_PX = 480
_LEAST_S = 1.5
_FRAMES_A_SECOND = 15
# Of a time between frames, which may have been rounded.
_SLACK = 0.02
# Beyond the frames that were looked at, an object is for a while where it was.
_HOLD_S = 0.25

Frame = tuple[float, UInt8Image]
"""A time in seconds, and uint8 (height, width, 3)."""


def choose_span(payload: PointPayload, shot: PointPayload | None) -> tuple[float, float]:
    """From when to when a clip of something in a video goes, in seconds.

    All of its time, or the `MOST_S` around its best frame. What is seen for an instant has some
    time around it, as far as its shot goes.
    """
    start_s, end_s, key_s = (
        value or 0.0 for value in (payload.t_start, payload.t_end, payload.t_key)
    )
    if end_s - start_s > MOST_S:
        start_s = min(max(key_s - MOST_S / 2, start_s), end_s - MOST_S)
        return start_s, start_s + MOST_S
    around_s = max(_LEAST_S - (end_s - start_s), 0.0) / 2
    if shot is None or shot.t_start is None or shot.t_end is None:
        return start_s, end_s
    return (
        min(start_s, max(start_s - around_s, shot.t_start)),
        max(end_s, min(end_s + around_s, shot.t_end)),
    )


def draw_clip(
    frames: Iterable[Frame], masks: MovingMask, size_hw: tuple[int, int]
) -> Iterator[Frame]:
    """At most 15 frames a second, with the object outlined as long as it is seen.

    `size_hw` is that of the frames that the masks are of.
    """
    pen = _Pen(size_hw)
    for time_s, pixels in _thin(frames):
        yield time_s, pen.draw(pixels, masks.at(time_s, _HOLD_S))


def _thin(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames that are a fifteenth of a second or more apart."""
    last_s: float | None = None
    for time_s, pixels in frames:
        if last_s is None or (time_s - last_s) * _FRAMES_A_SECOND >= 1 - _SLACK:
            last_s = time_s
            yield time_s, pixels


class _Pen:
    """Draws masks of frames of `size_hw` on smaller ones; a mask is drawn anew when it changes."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        self._smooth = lru_cache(2)(self._reduce)

    def draw(self, pixels: UInt8Image, placed: PlacedMask | None) -> UInt8Image:
        if placed is None:
            return pixels
        picture = Image.fromarray(pixels)
        inside = self._smooth(placed.mask, picture.size)
        across, down = picture.width / self._size_hw[1], picture.height / self._size_hw[0]
        by = round(placed.moved_xy[0] * across), round(placed.moved_xy[1] * down)
        if by != (0, 0):
            moved = Image.new("L", picture.size)
            moved.paste(inside, by)
            inside = moved
        draw_line(picture, inside, max(picture.size) / LINE_SIDE_PX)
        return np.asarray(picture)

    @staticmethod
    def _reduce(mask: ObjectMask, size: tuple[int, int]) -> Image.Image:
        return smooth_mask(mask.rle.decode(), size)
