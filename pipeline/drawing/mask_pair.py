"""Draws an object with its masks of two runs beside each other, the truth around both."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from pipeline.drawing.contact_sheet import INK, PANEL, PAPER
from pipeline.drawing.fonts import choose_font, shorten
from pipeline.drawing.outlines import dash_outline, outline_mask
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from workers.images.surroundings import Box, square_crop_box

PANEL_PX = 320
_GAP_PX, _TITLE_PX, _FONT_PX = 8, 34, 20
_PLAIN = (190, 190, 186)
_LINE_SCALE = 1.2
_REACH = 1.0  # of the object's longer side: how far from it masks are shown


def draw_pair(
    pixels: UInt8Image | None,
    true: CocoRle,
    masks: tuple[CocoRle | None, CocoRle | None],
    titles: tuple[str, str],
) -> Image.Image:
    """RGB, 648 x 354: of each run the crop of the image, its mask, the true one, its title.

    `pixels` are the image's, uint8 (height, width, 3), None for a plain ground. The mask has a line
    around it, and what is outside is dimmed; black and white dashes are around the true one.
    """
    box = _choose_crop(true, masks)
    height = PANEL_PX + _TITLE_PX
    sheet = Image.new("RGB", (2 * PANEL_PX + _GAP_PX, height), PAPER)
    for place, (mask, title) in enumerate(zip(masks, titles, strict=True)):
        left = place * (PANEL_PX + _GAP_PX)
        _draw_title(sheet, title, left)
        sheet.paste(_draw_panel(pixels, true, mask, box), (left, _TITLE_PX))
    return sheet


def _choose_crop(true: CocoRle, masks: tuple[CocoRle | None, CocoRle | None]) -> Box:
    """Around all three, but not far from the object."""
    x0, y0, x1, y1 = true.bbox_xyxy
    reach = round(_REACH * max(x1 - x0, y1 - y0))
    boxes = [mask.bbox_xyxy for mask in masks if mask is not None]
    around = (
        max(min([x0, *(box[0] for box in boxes)]), x0 - reach),
        max(min([y0, *(box[1] for box in boxes)]), y0 - reach),
        min(max([x1, *(box[2] for box in boxes)]), x1 + reach),
        min(max([y1, *(box[3] for box in boxes)]), y1 + reach),
    )
    return square_crop_box(around, true.size_hw)


def _draw_panel(
    pixels: UInt8Image | None, true: CocoRle, mask: CocoRle | None, box: Box
) -> Image.Image:
    x0, y0, x1, y1 = box
    scale = PANEL_PX / max(x1 - x0, y1 - y0)
    size = (max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1))
    if pixels is None:
        picture = Image.new("RGB", size, _PLAIN)
    else:
        crop = Image.fromarray(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
        picture = crop.resize(size, Image.Resampling.LANCZOS)
    if mask is not None:
        picture = outline_mask(picture, mask.decode_columns(x0, x1)[y0:y1], _LINE_SCALE)
    picture = dash_outline(picture, true.decode_columns(x0, x1)[y0:y1])
    panel = Image.new("RGB", (PANEL_PX, PANEL_PX), PANEL)
    panel.paste(picture, ((PANEL_PX - size[0]) // 2, (PANEL_PX - size[1]) // 2))
    return panel


def _draw_title(sheet: Image.Image, title: str, left: int) -> None:
    text, font = choose_font(title, _FONT_PX)
    text = shorten(text, font, PANEL_PX - 8, keep="ends")
    place = (left + 4, _TITLE_PX / 2)
    ImageDraw.Draw(sheet).text(place, text, font=font, fill=INK, anchor="lm")
