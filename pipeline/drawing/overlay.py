"""Draws masks over their picture, each in a colour of its own, with what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from pipeline.drawing.contact_sheet import INK, PAPER
from pipeline.drawing.fonts import choose_font, shorten
from pipeline.drawing.outlines import tint_masks
from schemas.images import UInt8Image
from schemas.masks import ObjectMask

_MOST_PX = 2048  # of the longer side
_FONT_SHARE, _LEAST_FONT_PX = 45, 11
_PAD_PX = 3


def draw_overlay(pixels: UInt8Image, masks: Sequence[ObjectMask]) -> Image.Image:
    """The picture, uint8 (height, width, 3), at most 2048 pixels long, with its masks and labels.

    Larger masks lie below smaller ones.
    """
    picture = Image.fromarray(pixels)
    scale = min(1.0, _MOST_PX / max(picture.size))
    size = tuple(max(round(side * scale), 1) for side in picture.size)
    picture = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    if masks:
        picture = tint_masks(picture, [mask.rle.decode() for mask in masks])
    for mask in masks:
        if mask.segmenter_label is not None:
            _draw_label(picture, mask, mask.segmenter_label, scale)
    return picture


def _draw_label(picture: Image.Image, mask: ObjectMask, label: str, scale: float) -> None:
    """The label, and how sure it is, at the upper edge of the mask's box, within the picture."""
    score = mask.segmenter_score
    words = label if score is None else f"{label} {score:.0%}"
    size_px = max(_LEAST_FONT_PX, max(picture.size) // _FONT_SHARE)
    text, font = choose_font(words, size_px)
    text = shorten(text, font, picture.width - 2 * _PAD_PX)
    x0, y0 = (side * scale for side in mask.bbox_xyxy[:2])
    width, height = font.getlength(text) + 2 * _PAD_PX, size_px + 2 * _PAD_PX
    left = min(max(x0, 0.0), max(picture.width - width, 0.0))
    top = min(max(y0 - height, 0.0), max(picture.height - height, 0.0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, top, left + width, top + height), fill=INK)
    draw.text((left + _PAD_PX, top + height / 2), text, font=font, fill=PAPER, anchor="lm")
