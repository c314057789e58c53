"""Draws a part of a video with the line around an object that moves in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from pipeline.drawing.outlines import CROP_LINE_SIDE_PX, LINE_SIDE_PX, draw_line, smooth_mask
from pipeline.drawing.previews import crop_ratio
from pipeline.search.moving_mask import MovingMask, PlacedMask
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.payload import PointPayload
from schemas.search import Box
from workers.images import surroundings

MOST_S = 10.0
MOST_SIDE_PX = 480
_LEAST_S = 1.5
_FRAMES_A_SECOND = 15
# Of a time between frames, which may have been rounded.
_SLACK = 0.02
# Beyond the frames that were looked at, an object is for a while where it was.
_HOLD_S = 0.25
# How far from the mask a line of the usual width, and what it fades into, may come.
_LINE_REACH_PX = 20

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


def choose_region(payload: PointPayload, masks: MovingMask, span_s: tuple[float, float]) -> Box:
    """Where the object moves, with its surroundings, in the proportions of its crop."""
    size_hw = payload.height, payload.width
    box = surroundings.crop_box(masks.find_box(*span_s) or payload.bbox, size_hw)
    return surroundings.grow_box(box, crop_ratio(payload), size_hw)


def choose_frame_side(region: Box, size_hw: tuple[int, int]) -> int:
    """How long frames have to be, so that their region is `MOST_SIDE_PX` long, in pixels."""
    x0, y0, x1, y1 = region
    return math.ceil(MOST_SIDE_PX * max(size_hw) / max(x1 - x0, y1 - y0))


def draw_clip(
    frames: Iterable[Frame], masks: MovingMask, region: Box, size_hw: tuple[int, int]
) -> Iterator[Frame]:
    """At most 15 frames a second, with the object outlined as long as it is seen.

    `region` is the part that is shown of frames of `size_hw`, those that the masks are of. The
    frames that are drawn on may be smaller ones.
    """
    pen = _Pen(region, size_hw)
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
    """Draws masks on a region of frames; a mask is made anew only where another comes."""

    def __init__(self, region: Box, size_hw: tuple[int, int]) -> None:
        self._region, self._size_hw = region, size_hw
        self._is_whole = region == (0, 0, size_hw[1], size_hw[0])
        self._smooth = lru_cache(2)(self._reduce)

    def draw(self, pixels: UInt8Image, placed: PlacedMask | None) -> UInt8Image:
        across, down = pixels.shape[1] / self._size_hw[1], pixels.shape[0] / self._size_hw[0]
        x0, x1 = (round(side * across) for side in self._region[::2])
        y0, y1 = (round(side * down) for side in self._region[1::2])
        pixels = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        if placed is None:
            return pixels
        picture = Image.fromarray(pixels)
        inside = self._smooth(placed.mask, picture.size)
        by = round(placed.moved_xy[0] * across), round(placed.moved_xy[1] * down)
        if by != (0, 0):
            moved = Image.new("L", picture.size)
            moved.paste(inside, by)
            inside = moved
        self._draw_line(picture, inside)
        return np.asarray(picture)

    def _draw_line(self, picture: Image.Image, inside: Image.Image) -> None:
        """Draw it where it comes to lie: the rest need not be looked at."""
        box = inside.getbbox()
        if box is None:
            return
        scale = max(picture.size) / (LINE_SIDE_PX if self._is_whole else CROP_LINE_SIDE_PX)
        margin = math.ceil(_LINE_REACH_PX * max(scale, 1.0))
        width, height = picture.size
        box = (
            max(box[0] - margin, 0),
            max(box[1] - margin, 0),
            min(box[2] + margin, width),
            min(box[3] + margin, height),
        )
        part = picture.crop(box)
        draw_line(part, inside.crop(box), scale)
        picture.paste(part, box)

    def _reduce(self, mask: ObjectMask, size: tuple[int, int]) -> Image.Image:
        x0, y0, x1, y1 = self._region
        return smooth_mask(mask.rle.decode_columns(x0, x1)[y0:y1], size)
