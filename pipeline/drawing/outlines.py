"""Draws masks on their picture: outlined, tinted, or as a line of dashes."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from schemas.masks import BoolMask

VEIL, ACCENT = (246, 246, 244), (255, 45, 85)
DIMMED = 0.5  # share of the background's colour that remains
_WHITE_PX, _LINE_PX = 2, 4.5
LINE_SIDE_PX, CROP_LINE_SIDE_PX = 640, 360
"""Of a whole picture, or of a crop, as long as this the line is as wide as that."""
_LEAST_SCALE = 0.7
_GOLDEN = 0.618034  # steps of hue that come nowhere near each other for long
_TINT = 0.35
_DASH_PX = 7  # along the picture's diagonals


def outline_mask(picture: Image.Image, mask: BoolMask, scale: float) -> Image.Image:
    """Dim what is outside the mask, and draw a line around it, `scale` times as wide."""
    inside = smooth_mask(mask, picture.size)
    veiled = Image.blend(Image.new("RGB", picture.size, VEIL), picture, DIMMED)
    result = Image.composite(picture, veiled, inside)
    draw_line(result, inside, scale)
    return result


def draw_line(picture: Image.Image, inside: Image.Image, scale: float) -> None:
    """Draw the line around a mask of 8 bits on its picture itself, `scale` times as wide.

    On the smallest pictures it is wider, or nobody would see it.
    """
    scale = max(scale, _LEAST_SCALE)
    # White between the object and the line: the line is visible on an object of any colour.
    for colour, width_px in ((ACCENT, _LINE_PX), ((255, 255, 255), _WHITE_PX)):
        picture.paste(colour, mask=_draw_ring(inside, width_px * scale))


def tint_masks(picture: Image.Image, masks: Sequence[BoolMask]) -> Image.Image:
    """Draw every mask in a colour of its own, largest first, so that smaller ones stay visible."""
    result = picture.copy()
    for number, mask in enumerate(sorted(masks, key=np.count_nonzero, reverse=True)):
        inside = smooth_mask(mask, picture.size)
        hue = number * _GOLDEN % 1
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 1.0))
        tint = Image.new("RGB", picture.size, (red, green, blue))
        result = Image.composite(Image.blend(result, tint, _TINT), result, inside)
        result.paste((red, green, blue), mask=_draw_ring(inside, _WHITE_PX))
    return result


def dash_outline(picture: Image.Image, mask: BoolMask, width_px: float = 2) -> Image.Image:
    """Draw a line of black and white dashes around a mask: it shows on any picture."""
    inside = smooth_mask(mask, picture.size)
    ring = _draw_ring(inside, width_px)
    y, x = np.indices((picture.height, picture.width))
    dashes = np.where((x + y) // _DASH_PX % 2, np.asarray(ring), np.uint8(0))
    result = picture.copy()
    result.paste((0, 0, 0), mask=ring)
    result.paste((255, 255, 255), mask=Image.fromarray(dashes))
    return result


def _draw_ring(inside: Image.Image, width_px: float) -> Image.Image:
    """A line around a mask of 8 bits, as a mask of its own."""
    grown = np.asarray(_dilate(inside, width_px))
    return Image.fromarray(np.minimum(grown, 255 - np.asarray(inside)))


def smooth_mask(mask: BoolMask, size: tuple[int, int]) -> Image.Image:
    """The mask at another size, without steps: 8 bits."""
    shape = Image.fromarray(mask.astype(np.uint8) * 255)
    # Enlarged steps of a mask are smoothed by about a pixel of the original.
    blur = max(size[0] / shape.width / 2, 1.0)
    grown = shape.resize(size, Image.Resampling.BICUBIC)
    return _sharpen(grown.filter(ImageFilter.GaussianBlur(blur)), 128)


def _sharpen(mask: Image.Image, level: int, slope: float = 5.0) -> Image.Image:
    """A soft edge made sharp, but not jagged, where it crosses `level` (of 255)."""
    steps = [round((value - level) * slope + 128) for value in range(256)]
    return mask.point([min(max(step, 0), 255) for step in steps])


def _dilate(mask: Image.Image, width_px: float) -> Image.Image:
    """`mask` grown by `width_px`, with round corners."""
    # A straight edge under a Gaussian of sigma falls to 0.159 of its height at one sigma, and
    # more gently the larger sigma is.
    blurred = mask.filter(ImageFilter.GaussianBlur(width_px))
    # With a gentler slope something of a thin line would lie on all of the picture.
    return _sharpen(blurred, round(0.159 * 255), slope=max(2 * width_px, 4.0))
