"""Cuts the square crops of objects and images that an embedder gets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageStat

from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from schemas.options import CropOptions, SquareName

_ENOUGH_PX = 1024
"""A larger crop is reduced by an integer factor to this side or a little more, twice the input of
the largest models: the memory of a crop must not grow with the longer side of a panorama."""

# Changing what a background is made of changes vectors: it then needs another name in settings.
_BLUR = 0.1
"""The Gaussian's standard deviation, of the window's longer side: no detail is left."""
_BLURRED_PX = 128

Colour = tuple[int, int, int]
Outside = Colour | UInt8Image
"""What there is where a window leaves its image: a colour, or an image whose edge is repeated."""


class Window(NamedTuple):
    """What a crop shows of an image, in pixels; it may leave the image."""

    left: int
    top: int
    width: int
    height: int


def crop_window(
    bbox_xyxy: tuple[int, int, int, int], margin: float, to_square: SquareName = "extend"
) -> Window:
    """The window around a box's centre, grown at either end by `margin` of its longer side.

    Extended to a square, or of the box's own proportions, for what makes a square of it later.
    """
    x0, y0, x1, y1 = bbox_xyxy
    longer = max(x1 - x0, y1 - y0)
    more = round(2 * margin * longer)
    width, height = (longer, longer) if to_square == "extend" else (x1 - x0, y1 - y0)
    width, height = width + more, height + more
    return Window((x0 + x1 - width) // 2, (y0 + y1 - height) // 2, width, height)


def _choose_factor(side_px: int) -> int:
    return max(side_px // _ENOUGH_PX, 1)


def _choose_factors(size_hw: tuple[int, int], to_square: SquareName) -> tuple[int, int]:
    """By what a crop's height and width are divided: the same, unless it is distorted anyway."""
    height, width = map(_choose_factor, size_hw)
    return (height, width) if to_square == "squash" else (max(height, width),) * 2


def _place(
    region: UInt8Image,
    before_yx: tuple[int, int],
    size_hw: tuple[int, int],
    outside: Outside,
    to_square: SquareName = "extend",
) -> UInt8Image:
    """An image of `size_hw` with the region at `before_yx`."""
    factors = _choose_factors(size_hw, to_square)
    rows, columns = (-(-side // factor) for side, factor in zip(size_hw, factors, strict=True))
    top, left = (before // factor for before, factor in zip(before_yx, factors, strict=True))
    reduced = _reduce(region, factors)
    height, width = reduced.shape[:2]
    if isinstance(outside, tuple):
        if (height, width) == (rows, columns):
            return reduced
        placed = _solid_colour(rows, columns, outside)
    else:
        edge = reduced if outside is region else _reduce(outside, factors)
        beside = (top, rows - top - height), (left, columns - left - width), (0, 0)
        placed = np.pad(edge, beside, mode="edge")
    placed[top : top + height, left : left + width] = reduced
    return placed


def _reduce(image: UInt8Image, factors_yx: tuple[int, int]) -> UInt8Image:
    if factors_yx == (1, 1):
        return image
    return np.asarray(Image.fromarray(image).reduce(factors_yx[::-1]))


def _solid_colour(height: int, width: int, fill: Colour) -> UInt8Image:
    # Whole rows at a time: numpy would repeat three numbers one by one.
    rows = np.empty((height, width * 3), np.uint8)
    rows[:] = np.tile(np.array(fill, np.uint8), width)
    return rows.reshape(height, width, 3)


def _lay_over(behind: UInt8Image, region: UInt8Image, inside: BoolMask) -> UInt8Image:
    """The region where `inside`, bool (height, width), is true; `behind`, changed, elsewhere."""
    # On flat rows instead of pixels, for the same reason.
    chosen = np.repeat(inside, 3, axis=1)
    rows = behind.reshape(len(inside), -1)
    np.copyto(rows, region.reshape(len(inside), -1), where=chosen)
    return behind


def _mean_around(region: UInt8Image, inside: BoolMask, otherwise: Colour) -> Colour:
    """The mean colour of the region where `inside` is false, `otherwise` where it nowhere is."""
    if inside.all():
        return otherwise
    outside = Image.fromarray(np.where(inside, np.uint8(0), np.uint8(255)))
    red, green, blue = ImageStat.Stat(Image.fromarray(region), outside).mean
    return round(red), round(green), round(blue)


def _blur(region: UInt8Image, side_px: int) -> UInt8Image:
    """The region without detail; `side_px` is the longer side of the window that it is of."""
    image = Image.fromarray(region)
    # Small enough to be fast whatever the size, large enough that nobody sees that it was small.
    factor = max(side_px // _BLURRED_PX, 1)
    small = image.reduce(factor).filter(ImageFilter.GaussianBlur(_BLUR * side_px / factor))
    return np.array(small.resize(image.size, Image.Resampling.BILINEAR))


def _stretch(crop: UInt8Image, side_px: int) -> UInt8Image:
    """The crop of a window of that longer side as a square, as large as if it were extended."""
    side = -(-side_px // _choose_factor(side_px))
    if crop.shape[:2] == (side, side):
        return crop
    return np.asarray(Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC))


def object_views(image: UInt8Image, mask: ObjectMask, options: CropOptions) -> list[UInt8Image]:
    """The views of one object that `options.views` names; the context comes before the cutout.

    image: uint8 (height, width, 3). Each view is uint8 (side, side, 3) over the same window.
    `context` is the image as it stands, its edge repeated where the window leaves it; `cutout` has
    `cutout_background` wherever the mask is not. Raises ValueError if the mask is of another size.
    """
    height, width = image.shape[:2]
    if mask.rle.size_hw != (height, width):
        raise ValueError(f"expected a mask of {height} x {width} pixels, got {mask.rle.size_hw}")
    window = crop_window(mask.bbox_xyxy, options.context_margin, options.to_square)
    rows = slice(max(window.top, 0), min(window.top + window.height, height))
    columns = slice(max(window.left, 0), min(window.left + window.width, width))
    before_yx = rows.start - window.top, columns.start - window.left
    region = np.ascontiguousarray(image[rows, columns])
    size_hw, side_px = (window.height, window.width), max(window.height, window.width)
    views = []
    if options.views != "cutout":
        context = _place(region, before_yx, size_hw, region, options.to_square)
        views.append(_make_square(context, options.cutout_fill, side_px, options))
    if options.views != "context":
        inside = mask.rle.decode_columns(columns.start, columns.stop)[rows]
        cut, outside = _cut(region, inside, side_px, options)
        cutout = _place(cut, before_yx, size_hw, outside, options.to_square)
        bars = outside if isinstance(outside, tuple) else options.cutout_fill
        views.append(_make_square(cutout, bars, side_px, options))
    return views


def _cut(
    region: UInt8Image, inside: BoolMask, side_px: int, options: CropOptions
) -> tuple[UInt8Image, Outside]:
    """The region with another background, and what is to be outside of the region."""
    if options.cutout_background == "blur":
        blurred = _blur(region, side_px)
        return _lay_over(blurred.copy(), region, inside), blurred
    fill = options.cutout_fill
    if options.cutout_background == "mean":
        fill = _mean_around(region, inside, fill)
    height, width = inside.shape
    return _lay_over(_solid_colour(height, width, fill), region, inside), fill


def _make_square(crop: UInt8Image, bars: Colour, side_px: int, options: CropOptions) -> UInt8Image:
    """The crop, which is one already where boxes are extended, as a square."""
    if options.to_square == "squash":
        return _stretch(crop, side_px)
    return square_image(crop, bars)


def square_image(image: UInt8Image, fill: Colour) -> UInt8Image:
    """The whole image in the middle of a square: uint8 (height, width, 3) to (side, side, 3)."""
    height, width = image.shape[:2]
    side = max(height, width)
    if height == width < 2 * _ENOUGH_PX:
        return image
    return _place(image, ((side - height) // 2, (side - width) // 2), (side, side), fill)
