"""Draws simulated runs: what is done by when, and what spot machines cost by how often they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from bench.plot_pixels import build_style, choose_colour, rasterize
from bench.simulated_scenarios import PLANNED
from pipeline.drawing.fonts import choose_font
from pipeline.drawing.report.contents import Axis, Plot, Series
from pipeline.drawing.report.plots import HEIGHT_PX, WIDTH_PX
from pipeline.planning import pace
from pipeline.planning.simulation.simulate import Outcome

_ZOOM = 2
_TITLE_PX, _KEY_PX, _GAP_PX, _HEAD_PX = 30, 24, 40, 160


def plot_progress(outcomes: Sequence[Outcome]) -> Plot:
    """Images done by the day, of at most four runs."""
    return Plot(
        title="Images done",
        alt="runs of 10^9 images, by the day",
        x=Axis("days", low=0),
        y=Axis("millions of images", low=0),
        series=[_list_progress(outcome) for outcome in outcomes],
    )


def plot_by_reclaims(outcomes: Sequence[Outcome], planned: Outcome, what: str) -> Plot:
    """Dollars or days of spot machines by how often they are taken, beside those on demand."""
    rates = [outcome.scenario.reclaims for outcome in outcomes]
    values = [_read(outcome, what) for outcome in outcomes]
    steady = _read(planned, what)
    return Plot(
        title="Days until all is done" if what == "days" else "What it costs",
        alt=f"{what} by reclaims an hour",
        x=Axis("reclaims of a machine an hour", low=0),
        y=Axis(what, low=0),
        series=[
            Series("spot machines", rates, values),
            Series("on demand", [rates[0], rates[-1]], [steady, steady]),
        ],
    )


def draw_sheet(plots: Sequence[Plot], path: Path) -> None:
    """Write the plots beside each other, each with its title and its key above it."""
    width, height = WIDTH_PX * _ZOOM, HEIGHT_PX * _ZOOM
    sheet = Image.new(
        "RGB", ((width + _GAP_PX) * len(plots) + _GAP_PX, height + _HEAD_PX + 20), "white"
    )
    style = build_style()
    for number, plot in enumerate(plots):
        left = _GAP_PX + number * (width + _GAP_PX)
        sheet.paste(rasterize(plot, style, _ZOOM), (left, _HEAD_PX))
        _draw_head(ImageDraw.Draw(sheet), plot, left)
    sheet.save(path, "WEBP", quality=90)


def _read(outcome: Outcome, what: str) -> float:
    if what == "days":
        return outcome.seconds / 86_400
    return (outcome.usd or 0.0) / 1000


def _list_progress(outcome: Outcome) -> Series:
    """What was done of a share, taken for all: the start is not longer for more images."""
    start_s = pace.start_seconds(PLANNED.profile, PLANNED.layout)
    history = outcome.totals.history
    step = max(1, len(history) // 300)
    shown = history[::step]
    days = [0.0, *((start_s + (at_s - start_s) / outcome.part) / 86_400 for at_s, _ in shown)]
    millions = [0.0, *(done / outcome.share / 1e6 for _, done in shown)]
    return Series(
        outcome.scenario.name,
        [*days, outcome.seconds / 86_400],
        [*millions, PLANNED.workload.images / 1e6],
    )


def _draw_head(draw: ImageDraw.ImageDraw, plot: Plot, left: int) -> None:
    text, font = choose_font(plot.title, _TITLE_PX)
    draw.text((left, 14), text, fill="#1c1c1e", font=font)
    for number, series in enumerate(plot.series):
        text, font = choose_font(series.name, _KEY_PX)
        x, y = left + number % 2 * 360, 62 + number // 2 * 42
        draw.rectangle((x, y + 10, x + 40, y + 16), fill=choose_colour(number))
        draw.text((x + 54, y), text, fill="#1c1c1e", font=font)
