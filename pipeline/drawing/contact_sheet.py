"""Draws a contact sheet: every hit as a picture of its object, with its mask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from PIL import Image, ImageDraw, ImageOps

from pipeline.drawing.fonts import choose_font, shorten, wrap
from pipeline.drawing.outlines import ACCENT, outline_mask
from pipeline.drawing.previews import square_crop_box
from pipeline.messages import format_span, format_time
from pipeline.search.hit_order import count_likely, describe_relevance
from pipeline.search.kept_pictures import KeptPicture, Picture
from schemas.images import Failure, UInt8Image
from schemas.masks import BoolMask
from schemas.payload import PointPayload
from schemas.search import SearchHit

MAX_COLUMNS = 5
TILE_PX, LABEL_PX, GAP_PX, MARGIN_PX, HEADER_PX, DIVIDER_PX = 280, 58, 24, 40, 116, 48
_SUBJECT_WH = (150, 80)  # at most, of the picture that was searched with
_SCALE = 2  # drawn this much larger, then reduced: smooth outlines and corners
_CORNER_PX = 10
_PALE = 0.6  # share of an unlikely hit's own colours

PAPER, PANEL = (250, 250, 248), (233, 233, 230)
INK, GREY = (28, 28, 30), (118, 118, 122)


def contact_sheet(
    hits: Sequence[SearchHit],
    images: Iterable[Picture],
    *,
    title: str,
    subtitle: str = "",
    subject: UInt8Image | None = None,
) -> Image.Image:
    """RGB sheet of `hits`, best first; `images` are their pictures, one each, taken one by one.

    Unlikely hits stand below a line that says how many they are, smaller and paler.
    `title` is the query, in words; `subject` the picture that was searched with, uint8 (height,
    width, 3). A `Failure` gives a grey tile that says why. Raises ValueError if there are more or
    fewer images than hits.
    """
    layout = lay_out(len(hits), count_likely(hits))
    sheet = Image.new("RGB", layout.size, PAPER)
    _draw_header(sheet, title, subtitle, subject)
    if layout.line_top is not None:
        _draw_line(sheet, f"{len(hits) - count_likely(hits)} unlikely", layout.line_top)
    drawn = zip(hits, images, layout.cells, strict=True)
    for rank, (hit, image, (left, top, side)) in enumerate(drawn, 1):
        tile = draw_tile(hit.payload, image)
        if side < TILE_PX:
            tile = tile.resize((side * _SCALE, side * _SCALE), Image.Resampling.LANCZOS)
            tile = Image.blend(Image.new("RGB", tile.size, PAPER), tile, _PALE)
        _paste_rounded(sheet, tile, (left, top))
        _draw_label(sheet, hit, rank, (left, top + side + 10), side)
    return sheet


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a sheet's parts are, pixels. `cells` are left, top and side of each tile."""

    size: tuple[int, int]
    cells: tuple[tuple[int, int, int], ...]
    line_top: int | None


def lay_out(count: int, likely: int) -> Layout:
    """The layout of `count` tiles, the first `likely` of them large."""
    columns = max(3, min(MAX_COLUMNS, count))
    width = columns * TILE_PX + (columns - 1) * GAP_PX
    # So many more in a row as makes them about two thirds as large.
    more = columns + math.ceil(columns / 2)
    small = (width - (more - 1) * GAP_PX) // more
    cells, top, line_top = [], HEADER_PX, None
    groups = ((likely, columns, TILE_PX), (count - likely, more, small))
    for number, columns_of, side in groups:
        if number and side == small and likely:
            line_top, top = top, top + DIVIDER_PX
        for position in range(number):
            row, column = divmod(position, columns_of)
            left = MARGIN_PX + column * (side + GAP_PX)
            cells.append((left, top + row * (side + LABEL_PX + GAP_PX), side))
        top += math.ceil(number / columns_of) * (side + LABEL_PX + GAP_PX)
    height = max(top - GAP_PX, HEADER_PX + MARGIN_PX) + MARGIN_PX
    return Layout((width + 2 * MARGIN_PX, height), tuple(cells), line_top)


def _draw_line(sheet: Image.Image, words: str, top: int) -> None:
    draw, (text, font) = ImageDraw.Draw(sheet), choose_font(words, 15)
    middle, end = top + DIVIDER_PX // 3, MARGIN_PX + math.ceil(font.getlength(text)) + 14
    draw.text((MARGIN_PX, middle), text, font=font, fill=GREY, anchor="lm")
    draw.line([(end, middle), (sheet.width - MARGIN_PX, middle)], fill=PANEL, width=2)


def draw_tile(payload: PointPayload, image: Picture) -> Image.Image:
    """The object on its background, or a grey tile with the reason: RGB, square, for one hit."""
    side = TILE_PX * _SCALE
    if isinstance(image, Failure):
        return _draw_reason(_explain(image), side)
    if isinstance(image, KeptPicture):
        return _draw_kept(payload, image, side)
    payload = payload.with_size(image.size_hw)
    if image.size_hw != (payload.height, payload.width):
        height, width = image.size_hw
        was = f"{payload.width} x {payload.height}"
        return _draw_reason(f"indexed at {was} px, it is {width} x {height} px now", side)
    if payload.kind == "image":
        return _frame(Image.fromarray(image.pixels), None, side)
    rle = payload.sound_mask()
    if (rle is None and payload.rle is not None) or not payload.has_sound_box():
        return _draw_reason("what the index holds of this object is broken", side)
    x0, y0, x1, y1 = square_crop_box(payload)
    mask = None if rle is None else rle.decode()[y0:y1, x0:x1]
    return _frame(Image.fromarray(image.pixels[y0:y1, x0:x1]), mask, side)


def _draw_kept(payload: PointPayload, kept: KeptPicture, side: int) -> Image.Image:
    """The object as it was when it was indexed, with a mark if its image is another by now."""
    pixels, (x0, y0, x1, y1) = kept.cut(square_crop_box(payload))
    rle = payload.sound_mask()
    mask = None if rle is None else rle.decode_columns(x0, x1)[y0:y1]
    return draw_mark(_frame(Image.fromarray(pixels), mask, side), kept.mark, _SCALE)


def draw_mark(picture: Image.Image, text: str, scale: float) -> Image.Image:
    """The picture with a band at its lower edge that says `text`, as it is without any."""
    if not text:
        return picture
    result = picture.copy()
    # Lines of any length have room, also in a small picture.
    size_px = max(9, min(round(14 * scale), picture.width // 14))
    text, font = choose_font(text, size_px)
    lines = wrap(text, font, picture.width - size_px, lines=3)
    line_height = round(1.4 * size_px)
    top = max(0, picture.height - line_height * len(lines) - size_px // 2)
    draw = ImageDraw.Draw(result)
    draw.rectangle((0, top, picture.width, picture.height), fill=INK)
    for number, line in enumerate(lines):
        left = (picture.width - font.getlength(line)) / 2
        draw.text((left, top + size_px // 4 + number * line_height), line, font=font, fill=PAPER)
    return result


def _frame(picture: Image.Image, mask: BoolMask | None, side: int) -> Image.Image:
    """The picture, whole and in proportion, in a square of `side`, its mask drawn on it."""
    scale = side / max(picture.size)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    resized = picture.resize(size, Image.Resampling.LANCZOS)
    if mask is not None:
        resized = outline_mask(resized, mask, _SCALE)
    tile = Image.new("RGB", (side, side), PANEL)
    tile.paste(resized, ((side - size[0]) // 2, (side - size[1]) // 2))
    return tile


def _explain(failure: Failure) -> str:
    if failure.gone:
        return "the image is no longer in the store"
    if failure.changed:
        return "the image has changed since it was indexed"
    return failure.message


def _draw_reason(reason: str, side: int) -> Image.Image:
    tile = Image.new("RGB", (side, side), PANEL)
    draw = ImageDraw.Draw(tile)
    text, font = choose_font(reason, 15 * _SCALE)
    lines = wrap(text, font, side - 48 * _SCALE, lines=7)
    line_height = 21 * _SCALE
    top = (side - line_height * len(lines)) / 2
    for number, line in enumerate(lines):
        left = (side - font.getlength(line)) / 2
        draw.text((left, top + number * line_height), line, font=font, fill=GREY)
    return tile


def _paste_rounded(sheet: Image.Image, tile: Image.Image, left_top: tuple[int, int]) -> None:
    corners = Image.new("L", tile.size, 0)
    edge = (0, 0, tile.width - 1, tile.height - 1)
    ImageDraw.Draw(corners).rounded_rectangle(edge, _CORNER_PX * _SCALE, fill=255)
    sheet.paste(tile.reduce(_SCALE), left_top, corners.reduce(_SCALE))


def _draw_label(
    sheet: Image.Image, hit: SearchHit, rank: int, left_top: tuple[int, int], width: int
) -> None:
    """Rank, file name and how likely it is; below, in grey, the size of the object and its share.

    Its score where nothing else is known. Of a video the time of the frame that is shown stands
    beside the name, and when the object is seen in place of its size.
    """
    draw, (left, top) = ImageDraw.Draw(sheet), left_top
    score, font = choose_font(describe_relevance(hit) or f"{hit.score:.3f}", 15)
    score_width = font.getlength(score)
    draw.text((left + width - score_width, top), score, font=font, fill=INK)
    number, font = choose_font(f"{rank}", 15)
    draw.text((left, top), number, font=font, fill=ACCENT)
    indent = font.getlength(number) + 8
    name, font = choose_font(describe_picture(hit.payload), 15)
    name = shorten(name, font, width - indent - score_width - 14, keep="ends")
    draw.text((left + indent, top), name, font=font, fill=INK)
    detail, font = choose_font(describe_place(hit.payload), 13)
    detail = shorten(detail, font, width - indent)
    draw.text((left + indent, top + 22), detail, font=font, fill=GREY)


def describe_picture(payload: PointPayload) -> str:
    """The name of an image's file; of a video with the time of the key frame."""
    name = file_name(payload.uri)
    return name if payload.t_key is None else f"{name} at {format_time(payload.t_key)}"


def describe_place(payload: PointPayload) -> str:
    """How large an object is; of a video rather when it is seen."""
    of = "image" if payload.t_key is None else "frame"
    has_share = payload.kind == "object" and payload.area_frac is not None
    share = f" · {payload.area_frac:.1%} of the {of}" if has_share else ""
    if payload.t_key is None or payload.t_start is None or payload.t_end is None:
        x0, y0, x1, y1 = payload.bbox
        return f"{x1 - x0} x {y1 - y0} px{share}"
    return f"{format_span(payload.t_start, payload.t_end)}{share}"


def file_name(uri: str) -> str:
    """The last part of a uri or a path."""
    if uri.startswith("file://"):
        return PurePosixPath(unquote(urlsplit(uri).path)).name
    return uri.rstrip("/").rsplit("/", 1)[-1]


def _draw_header(sheet: Image.Image, title: str, subtitle: str, subject: UInt8Image | None) -> None:
    draw, left = ImageDraw.Draw(sheet), MARGIN_PX
    if subject is not None:
        picture = Image.fromarray(subject)
        picture = ImageOps.contain(picture, (_SUBJECT_WH[0] * _SCALE, _SUBJECT_WH[1] * _SCALE))
        _paste_rounded(sheet, picture, (left, (HEADER_PX - picture.height // _SCALE) // 2 - 4))
        left += math.ceil(picture.width / _SCALE) + 16
    width = sheet.width - MARGIN_PX - left
    text, font = choose_font(title, 32)
    draw.text((left, 24), shorten(text, font, width), font=font, fill=INK)
    text, font = choose_font(subtitle, 16)
    draw.text((left, 68), shorten(text, font, width), font=font, fill=GREY)
