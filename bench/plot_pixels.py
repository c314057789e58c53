"""Turns plots into pixels, for sheets of several of them."""

from __future__ import annotations

import io

from PIL import Image

from pipeline.drawing.report.contents import Plot
from pipeline.drawing.report.plots import PAGE_FRAME, Frame, draw_plot

COLOURS = (
    "#1d5fc4", "#b04a00", "#00766a", "#7a3fb0", "#c2185b", "#5f7300", "#0091b3", "#8d6e63",
)  # fmt: skip
"""Of the first series, of the second, and so on; then they begin again."""
_DASHES = ("none", "7 4", "2 3", "9 3 2 3")
_MOST_SERIES = 32
_BASE = (
    "text { font-family: 'DejaVu Sans', sans-serif; font-size: 12px; fill: #5f5f64 }",
    ".axis-title { fill: #1c1c1e } path { fill: none }",
    ".grid { stroke: #deded9 } .axis { stroke: #5f5f64 }",
)


def choose_colour(number: int) -> str:
    """The colour of a series by its number, from 0."""
    return COLOURS[number % len(COLOURS)]


def build_style(fill: float = 0.13, *, is_dashed: bool = True) -> str:
    """The style of a plot: `fill` is how opaque areas are; dashes tell lines apart, too."""
    rules = []
    for number in range(_MOST_SERIES):
        colour, dash = choose_colour(number), _DASHES[number % len(_DASHES)]
        look = f"stroke-dasharray: {dash}" if is_dashed else "stroke-linecap: round"
        rules += [
            f".s{number + 1} .line {{ stroke: {colour}; stroke-width: 2.2; {look} }}",
            f".s{number + 1} .area {{ fill: {colour}; fill-opacity: {fill:g} }}",
        ]
    return "\n".join([*_BASE, *rules])


def rasterize(plot: Plot, style: str, zoom: float, frame: Frame = PAGE_FRAME) -> Image.Image:
    """The plot on white, `zoom` pixels for each of its frame's."""
    import resvg_py

    svg = draw_plot(plot, frame).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    width = round(frame.width * zoom)
    png = resvg_py.svg_to_bytes(
        svg_string=svg, style_sheet=style, width=width, background="#ffffff"
    )
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")
