"""Draws a dashboard: every panel in its place, with its title, plot and legend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from PIL import Image, ImageDraw

from bench.dashboard_panels.curves import Curve
from bench.dashboard_panels.dashboard import GRID_COLUMNS, Dashboard, Panel, Window
from bench.dashboard_panels.plotting import plot_panel
from bench.dashboard_panels.units import show_value
from bench.plot_pixels import build_style, choose_colour, rasterize
from pipeline.drawing.fonts import Font, choose_font, shorten
from pipeline.drawing.report.plots import Frame

WIDTH_PX, LINE_PX, HEAD_PX = 1800, 36, 64
_GAP_PX, _PADDING_PX, _ZOOM = 12, 14, 1.35
_TITLE_PX, _TEXT_PX, _KEY_PX, _VALUE_PX = 20, 17, 18, 64
_TITLE_HEIGHT_PX, _LEGEND_LINE_PX = 38, 26
_SHEET, _CARD, _EDGE, _INK, _GREY = "#f4f5f5", "#ffffff", "#dcdfe4", "#1c1c1e", "#5f5f64"
_NOTE = "Drawn from the answers of a Prometheus, not by Grafana"

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, pixels."""


def draw_dashboard(
    dashboard: Dashboard, curves: Sequence[Sequence[Curve]], window: Window
) -> Image.Image:
    """The sheet, with the curves of each panel, in the panels' order."""
    sheet = Image.new("RGB", (WIDTH_PX, HEAD_PX + dashboard.lines * LINE_PX + _GAP_PX), _SHEET)
    draw = ImageDraw.Draw(sheet)
    _draw_head(draw, dashboard, window)
    for panel, shown in zip(dashboard.panels, curves, strict=True):
        box = place_panel(panel)
        if panel.kind == "row":
            _write(draw, (box[0] + 2, box[1] + 4), panel.title, _TITLE_PX, _INK)
            continue
        draw.rounded_rectangle(box, 4, _CARD, _EDGE)
        left, top, right, _ = box
        place = (left + _PADDING_PX, top + 10)
        _write(draw, place, panel.title, _TITLE_PX, _INK, right - left - 2 * _PADDING_PX)
        if not shown:
            _write_middle(draw, box, "No data", _TITLE_PX, _GREY)
        elif panel.kind == "stat":
            _draw_stat(draw, box, panel, shown[0])
        else:
            height = _draw_legend(draw, box, shown)
            plot = _draw_plot(panel, shown, window, box, height)
            sheet.paste(plot, (left + 4, top + _TITLE_HEIGHT_PX))
    return sheet


def place_panel(panel: Panel) -> Box:
    """Where a panel is on the sheet, without the gap around it."""
    x, y, width, height = panel.place_xywh
    column = (WIDTH_PX - _GAP_PX) / GRID_COLUMNS
    return (
        _GAP_PX + round(x * column),
        HEAD_PX + y * LINE_PX,
        round((x + width) * column),
        HEAD_PX + (y + height) * LINE_PX - _GAP_PX,
    )


def place_keys(names: Sequence[str], width: float, font: Font) -> list[tuple[int, int]]:
    """Where each name of a legend begins, from its left and in its lines, as many as they need."""
    places, x, line = [], 0, 0
    for name in names:
        needed = _KEY_PX + 8 + int(font.getlength(name)) + 20
        if x and x + needed - 20 > width:
            x, line = 0, line + 1
        places.append((x, line))
        x += needed
    return places


def _draw_head(draw: ImageDraw.ImageDraw, dashboard: Dashboard, window: Window) -> None:
    _write(draw, (_GAP_PX + 2, 16), dashboard.title, 28, _INK)
    start, end = (datetime.fromtimestamp(at, UTC) for at in (window.start_s, window.end_s))
    text = f"{_NOTE}: {start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC"
    text, font = choose_font(text, _TEXT_PX)
    draw.text((WIDTH_PX - _GAP_PX, 24), text, _GREY, font, anchor="ra")


def _draw_plot(
    panel: Panel, curves: Sequence[Curve], window: Window, box: Box, legend_px: int
) -> Image.Image:
    left, top, right, bottom = box
    frame = Frame(
        width=int((right - left - 8) / _ZOOM),
        height=int((bottom - top - _TITLE_HEIGHT_PX - legend_px) / _ZOOM),
        left=84,
        bottom=26,
    )
    style = build_style(panel.fill, is_dashed=False)
    return rasterize(plot_panel(panel, curves, window), style, _ZOOM, frame)


def _draw_legend(draw: ImageDraw.ImageDraw, box: Box, curves: Sequence[Curve]) -> int:
    """Write the names at the bottom of the panel; the height that they need."""
    left, _, right, bottom = box
    width = right - left - 2 * _PADDING_PX
    texts = [choose_font(curve.name, _TEXT_PX) for curve in curves]
    names = [shorten(text, font, width - _KEY_PX - 8) for text, font in texts]
    places = place_keys(names, width, texts[0][1])
    lines = 1 + places[-1][1]
    for number, (name, (x, line)) in enumerate(zip(names, places, strict=True)):
        at_x, at_y = left + _PADDING_PX + x, bottom - 8 - (lines - line) * _LEGEND_LINE_PX
        draw.rectangle((at_x, at_y + 11, at_x + _KEY_PX, at_y + 14), choose_colour(number))
        _write(draw, (at_x + _KEY_PX + 8, at_y), name, _TEXT_PX, _INK)
    return lines * _LEGEND_LINE_PX + 10


def _draw_stat(draw: ImageDraw.ImageDraw, box: Box, panel: Panel, curve: Curve) -> None:
    value = show_value(panel.unit, curve.last)
    _write_middle(draw, box, value, _VALUE_PX, choose_colour(0))
    left, _, right, bottom = box
    _write_middle(draw, (left, bottom - 60, right, bottom), curve.name, _TEXT_PX, _GREY)


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size_px: int,
    colour: str,
    width: float = WIDTH_PX,
) -> None:
    text, font = choose_font(text, size_px)
    draw.text(place, shorten(text, font, width), colour, font)


def _write_middle(
    draw: ImageDraw.ImageDraw, box: Box, text: str, size_px: int, colour: str
) -> None:
    text, font = choose_font(text, size_px)
    left, top, right, bottom = box
    draw.text(((left + right) / 2, (top + bottom) / 2), text, colour, font, anchor="mm")
