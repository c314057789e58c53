"""Cuts the square crops of objects and images that an embedder gets."""

from __future__ import annotations

import numpy as np
from PIL import Image

from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from schemas.options import EmbedderOptions

_ENOUGH_PX = 1024
"""A larger crop is reduced by an integer factor to this side or a little more, twice the input of
the largest models: the memory of a crop must not grow with the longer side of a panorama."""

Colour = tuple[int, int, int]


def square_around(bbox_xyxy: tuple[int, int, int, int], margin: float) -> tuple[int, int, int]:
    """(left, top, side) of the square around a box's centre, in pixels; it may leave the image.

    The side is the box's longer one, grown at either end by `margin` of itself.
    """
    x0, y0, x1, y1 = bbox_xyxy
    longer = max(x1 - x0, y1 - y0)
    side = longer + round(2 * margin * longer)
    return (x0 + x1 - side) // 2, (y0 + y1 - side) // 2, side


def _place_in_square(
    region: UInt8Image, before_yx: tuple[int, int], side: int, fill: Colour | None
) -> UInt8Image:
    """A square of `side` with the region at `before_yx`; `fill` None repeats the region's edge."""
    factor = max(side // _ENOUGH_PX, 1)
    if factor > 1:
        region = np.asarray(Image.fromarray(region).reduce(factor))
        side = -(-side // factor)
    height, width = region.shape[:2]
    top, left = before_yx[0] // factor, before_yx[1] // factor
    if fill is None:
        below, after = side - top - height, side - left - width
        return np.pad(region, ((top, below), (left, after), (0, 0)), mode="edge")
    if height == width == side:
        return region
    square = _solid_colour(side, side, fill)
    square[top : top + height, left : left + width] = region
    return square


def _solid_colour(height: int, width: int, fill: Colour) -> UInt8Image:
    # Whole rows at a time: numpy would repeat three numbers one by one.
    rows = np.empty((height, width * 3), np.uint8)
    rows[:] = np.tile(np.array(fill, np.uint8), width)
    return rows.reshape(height, width, 3)


def _cut(region: UInt8Image, inside: BoolMask, fill: Colour) -> UInt8Image:
    """The region where `inside`, bool (height, width), is true, and `fill` elsewhere."""
    height, width = inside.shape
    cut = _solid_colour(height, width, fill)
    # On flat rows instead of pixels, for the same reason.
    chosen = np.repeat(inside, 3, axis=1)
    np.copyto(cut.reshape(height, -1), region.reshape(height, -1), where=chosen)
    return cut


def object_views(image: UInt8Image, mask: ObjectMask, options: EmbedderOptions) -> list[UInt8Image]:
    """The views of one object that `options.views` names; the context comes before the cutout.

    image: uint8 (height, width, 3). Each view is uint8 (side, side, 3) over the same square.
    `context` is the image as it stands, its edge repeated where the square leaves it; `cutout` has
    `cutout_fill` wherever the mask is not. Raises ValueError if the mask is of another size.
    """
    height, width = image.shape[:2]
    if mask.rle.size_hw != (height, width):
        raise ValueError(f"expected a mask of {height} x {width} pixels, got {mask.rle.size_hw}")
    left, top, side = square_around(mask.bbox_xyxy, options.context_margin)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    before_yx = rows.start - top, columns.start - left
    region = np.ascontiguousarray(image[rows, columns])
    views = []
    if options.views != "cutout":
        views.append(_place_in_square(region, before_yx, side, None))
    if options.views != "context":
        inside = mask.rle.decode_columns(columns.start, columns.stop)[rows]
        cut = _cut(region, inside, options.cutout_fill)
        views.append(_place_in_square(cut, before_yx, side, options.cutout_fill))
    return views


def square_image(image: UInt8Image, fill: Colour) -> UInt8Image:
    """The whole image in the middle of a square: uint8 (height, width, 3) to (side, side, 3)."""
    height, width = image.shape[:2]
    side = max(height, width)
    if height == width < 2 * _ENOUGH_PX:
        return image
    return _place_in_square(image, ((side - height) // 2, (side - width) // 2), side, fill)
