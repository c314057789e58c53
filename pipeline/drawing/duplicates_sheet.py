"""Draws groups of near-duplicates, a row each: the one to keep first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from pipeline.drawing.contact_sheet import (
    GAP_PX,
    GREY,
    HEADER_PX,
    INK,
    MARGIN_PX,
    PAPER,
    describe_picture,
    draw_tile,
)
from pipeline.drawing.fonts import choose_font, shorten
from pipeline.messages import quantify
from pipeline.search.kept_pictures import Picture
from pipeline.search.near_duplicates import AlikeGroup
from schemas.payload import Kind, PointPayload

MAX_ROWS = 30
MAX_COLUMNS = 6
_TILE_PX, _LABEL_PX = 180, 44


@dataclass(frozen=True, slots=True)
class Row:
    """A group with what its first points hold, and a picture of each of them."""

    group: AlikeGroup
    payloads: Sequence[PointPayload]
    pictures: Sequence[Picture]


def most_drawn(group: AlikeGroup) -> int:
    """How many points of a group have a tile; the last cell says how many more there are."""
    return len(group) if len(group) <= MAX_COLUMNS else MAX_COLUMNS - 1


def draw_groups(rows: Sequence[Row], groups: int, kind: Kind, location: str) -> Image.Image:
    """RGB sheet of the first of so many `groups`."""
    columns = max([3, *(min(len(row.group), MAX_COLUMNS) for row in rows)])
    width = 2 * MARGIN_PX + columns * _TILE_PX + (columns - 1) * GAP_PX
    step = _TILE_PX + _LABEL_PX + GAP_PX
    sheet = Image.new("RGB", (width, HEADER_PX + max(len(rows), 1) * step + MARGIN_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    room, total = width - 2 * MARGIN_PX, quantify(groups, "group")
    _write(draw, f"{kind}s that are nearly the same", (MARGIN_PX, 24), 32, room, INK)
    first = f"the first {len(rows)} of {total}" if groups > len(rows) else total
    _write(draw, f"{first} · {location}", (MARGIN_PX, 68), 16, room, GREY)
    for number, row in enumerate(rows):
        _draw_row(sheet, row, HEADER_PX + number * step)
    return sheet


def _draw_row(sheet: Image.Image, row: Row, top: int) -> None:
    draw, left = ImageDraw.Draw(sheet), MARGIN_PX
    drawn = zip(row.group.points, row.payloads, row.pictures, strict=False)
    for place, (point, payload, picture) in enumerate(drawn):
        tile = draw_tile(payload, picture).resize((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
        sheet.paste(tile, (left, top))
        words = f"{point.similarity:.3f}" if place else "keep"
        size = f"{point.size_wh[0]} x {point.size_wh[1]} px"
        at = (left, top + _TILE_PX + 6)
        _write(draw, describe_picture(payload), at, 14, _TILE_PX, INK)
        _write(draw, f"{words} · {size}", (left, at[1] + 18), 12, _TILE_PX, GREY)
        left += _TILE_PX + GAP_PX
    if more := len(row.group) - len(row.payloads):
        _write(draw, f"+ {more:,} more", (left, top + _TILE_PX // 2), 20, _TILE_PX, GREY)


def _write(
    draw: ImageDraw.ImageDraw,
    words: str,
    left_top: tuple[int, int],
    size_px: int,
    width: int,
    fill: tuple[int, int, int],
) -> None:
    text, font = choose_font(words, size_px)
    draw.text(left_top, shorten(text, font, width), font=font, fill=fill)
