"""Chooses a font that can draw a text, and shortens the text to the space there is."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Literal

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own font draws little beyond ASCII; these are tried, if the system has them, in order.
_FALLBACKS = ("NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf", "segoeui.ttf")


@cache
def _load_font(name: str | None, size_px: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size_px) if name else ImageFont.load_default(size_px)
    except OSError:
        return None


@cache
def _can_draw(font: Font, character: str) -> bool:
    missing = font.getmask("\uffff")
    drawn = font.getmask(character)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


def choose_font(text: str, size_px: int) -> tuple[str, Font]:
    """`text` as it can be drawn, on one line, and a font of `size_px` that draws it.

    Characters that no font at hand can draw lose their accents, or become "?".
    """
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    fonts = [
        font for name in (None, *_FALLBACKS) if (font := _load_font(name, size_px)) is not None
    ]
    for font in fonts:
        if all(_can_draw(font, character) for character in text):
            return text, font
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark))
    return "".join(mark if _can_draw(fonts[0], mark) else "?" for mark in plain), fonts[0]


def shorten(
    text: str, font: Font, width_px: float, keep: Literal["start", "ends"] = "start"
) -> str:
    """`text`, with an ellipsis at its end or in its middle if it is wider than `width_px`."""
    if font.getlength(text) <= width_px:
        return text
    for kept in range(len(text) - 1, 0, -1):
        tail = kept // 2 if keep == "ends" else 0
        short = text[: kept - tail].rstrip() + "…" + text[len(text) - tail :].lstrip()
        if font.getlength(short) <= width_px:
            return short
    return "…"


def wrap(text: str, font: Font, width_px: float, lines: int) -> list[str]:
    """`text` in at most `lines` lines of at most `width_px`, broken at blanks; cuts the last."""
    words = text.split()
    result: list[str] = []
    while words and len(result) < lines - 1:
        taken = 1
        while taken < len(words) and font.getlength(" ".join(words[: taken + 1])) <= width_px:
            taken += 1
        result.append(shorten(" ".join(words[:taken]), font, width_px))
        words = words[taken:]
    return [*result, shorten(" ".join(words), font, width_px)] if words else result
