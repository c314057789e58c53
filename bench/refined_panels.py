"""Draws masks before and after they are refined, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle

_COLUMNS, _SIDE_PX, _GAP_PX = 6, 400, 6
_MARGIN = 0.08  # of the longer side of a mask's box
_LINE = (255, 45, 85)


@dataclass(frozen=True, slots=True)
class Change:
    """A mask of an image before and after, and what its IoU has gained."""

    image: UInt8Image
    before: CocoRle
    after: CocoRle
    gain: float


def compose_panels(changes: Sequence[Change]) -> Image.Image:
    """Two rows of masks, before above after, from the largest gain to the largest loss."""
    ordered = sorted(changes, key=lambda change: -change.gain)
    places = np.linspace(0, len(ordered) - 1, min(_COLUMNS, len(ordered))).round().astype(int)
    step = _SIDE_PX + _GAP_PX
    sheet = Image.new("RGB", (step * len(places) - _GAP_PX, 2 * step - _GAP_PX), "white")
    for column, place in enumerate(places):
        change = ordered[place]
        for row, mask in enumerate((change.before, change.after)):
            sheet.paste(_draw(change, mask), (column * step, row * step))
    return sheet


def _draw(change: Change, mask: CocoRle) -> Image.Image:
    """The surroundings of a mask, enlarged, with its contour."""
    x0, y0, x1, y1 = change.before.bbox_xyxy
    margin = round(_MARGIN * max(x1 - x0, y1 - y0)) + 2
    height, width = mask.size_hw
    rows = slice(max(y0 - margin, 0), min(y1 + margin, height))
    columns = slice(max(x0 - margin, 0), min(x1 + margin, width))
    part = mask.decode_columns(columns.start, columns.stop)[rows]
    scale = _SIDE_PX / max(part.shape)
    size = max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1)
    picture = np.array(Image.fromarray(change.image[rows, columns]).resize(size))
    enlarged = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.NEAREST))
    picture[_find_line(enlarged)] = _LINE
    panel = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "white")
    panel.paste(Image.fromarray(picture))
    return panel


def _find_line(mask: BoolMask) -> BoolMask:
    """Three pixels wide."""
    line = np.zeros_like(mask)
    line[1:] |= mask[1:] != mask[:-1]
    line[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    return np.asarray(Image.fromarray(line).convert("L").filter(ImageFilter.MaxFilter(3))) > 0
