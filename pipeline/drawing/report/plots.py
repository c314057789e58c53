"""Draws a plot as SVG that stands in a page; its colours are classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, tostring

from pipeline.drawing.report.contents import Axis, Plot, Series
from pipeline.drawing.report.scales import Scale, fit_scale, show_tick
from pipeline.messages import sanitize

WIDTH_PX, HEIGHT_PX = 380, 270
_TOP, _RIGHT = 12, 14
_ROOM = 0.04  # so that no mark is cut off
_MARK_PX, _TICK_GAP, _TITLE_GAP = 4.5, 8, 40
KEY_WIDTH_PX, KEY_HEIGHT_PX = 34, 14


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a plot, and what is left free in it for the axes' texts, pixels."""

    width: int = WIDTH_PX
    height: int = HEIGHT_PX
    left: int = 58
    bottom: int = 48


PAGE_FRAME = Frame()


def draw_plot(plot: Plot, frame: Frame = PAGE_FRAME) -> str:
    """The SVG of a plot: it grows and shrinks with its place, and reads out its title and `alt`."""
    svg = _start_svg(frame.width, frame.height, {"role": "img", "class": "plot"})
    _add_text(svg, "title", {}, f"{plot.title}: {plot.alt}")
    x, y = _fit_scales(plot, frame)
    _draw_axes(svg, plot, x, y)
    if plot.diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        path = _join_points([(x.place(low), y.place(low)), (x.place(high), y.place(high))])
        SubElement(svg, "path", {"class": "diagonal", "d": path})
    for number, series in enumerate(plot.series, 1):
        group = SubElement(svg, "g", {"class": f"series s{number}"})
        _DRAW[series.kind](group, series, x, y, number)
    return tostring(svg, encoding="unicode", short_empty_elements=False)


def draw_key(plot: Plot, number: int) -> str:
    """What stands for a series in the list of them, by its number from 1; 0 is the diagonal."""
    svg = _start_svg(KEY_WIDTH_PX, KEY_HEIGHT_PX, {"aria-hidden": "true", "class": "key"})
    middle = KEY_HEIGHT_PX / 2
    line = {"d": _join_points([(1, middle), (KEY_WIDTH_PX - 1, middle)])}
    if number == 0:
        SubElement(svg, "path", {"class": "diagonal", **line})
    else:
        group = SubElement(svg, "g", {"class": f"series s{number}"})
        if plot.series[number - 1].kind in ("points", "dots"):
            _draw_mark(group, number, KEY_WIDTH_PX / 2, middle, "")
        else:
            SubElement(group, "path", {"class": "line", **line})
    return tostring(svg, encoding="unicode", short_empty_elements=False)


def _start_svg(width: int, height: int, attributes: dict[str, str]) -> Element:
    size = {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    return Element("svg", size | attributes)


def _fit_scales(plot: Plot, frame: Frame) -> tuple[Scale, Scale]:
    across = [value for series in plot.series for value in series.x]
    up = [
        value
        for series in plot.series
        for values in (series.y, series.lows, series.highs)
        for value in values
        if math.isfinite(value)
    ]
    kinds = {series.kind for series in plot.series}
    upright = replace(plot.y, low=0.0) if "bars" in kinds else plot.y
    return (
        fit_scale(
            plot.x, across, frame.left, frame.width - _RIGHT, _ROOM if "points" in kinds else 0.0
        ),
        fit_scale(upright, up, frame.height - frame.bottom, _TOP, _ROOM),
    )


def _show(axis: Axis, tick: float) -> str:
    return show_tick(tick) if axis.show is None else axis.show(tick)


def _draw_axes(svg: Element, plot: Plot, x: Scale, y: Scale) -> None:
    axes = SubElement(svg, "g", {"class": "axes"})
    for tick in y.list_ticks():
        at = y.place(tick)
        _draw_line(axes, "grid", (x.start, at), (x.end, at))
        place = {"x": _number(x.start - _TICK_GAP), "y": _number(at + 4), "text-anchor": "end"}
        _add_text(axes, "text", place, _show(plot.y, tick))
    for tick in x.list_ticks():
        at = x.place(tick)
        _draw_line(axes, "grid", (at, y.start), (at, y.end))
        place = {"x": _number(at), "y": _number(y.start + 18), "text-anchor": "middle"}
        _add_text(axes, "text", place, _show(plot.x, tick))
    _draw_line(axes, "axis", (x.start, y.start), (x.end, y.start))
    middle = {"text-anchor": "middle", "class": "axis-title"}
    place = {"x": _number((x.start + x.end) / 2), "y": _number(y.start + _TITLE_GAP)}
    _add_text(axes, "text", place | middle, plot.x.title)
    turned = f"translate(13 {_number((y.start + y.end) / 2)}) rotate(-90)"
    _add_text(axes, "text", {"transform": turned} | middle, plot.y.title)


def _draw_lines(group: Element, series: Series, x: Scale, y: Scale, number: int) -> None:
    points = [(x.place(a), y.place(b)) for a, b in zip(series.x, series.y, strict=True)]
    SubElement(group, "path", {"class": "line", "d": _join_points(points)})


def _draw_bars(group: Element, series: Series, x: Scale, y: Scale, number: int) -> None:
    """One outline of all bars, so that those of several series can lie over each other."""
    points = [(x.place(series.x[0]), y.place(0))]
    for place, height in enumerate(series.y):
        points += [(x.place(edge), y.place(height)) for edge in series.x[place : place + 2]]
    points.append((x.place(series.x[-1]), y.place(0)))
    path = _join_points(points)
    SubElement(group, "path", {"class": "area", "d": path})
    SubElement(group, "path", {"class": "line", "d": path})


def _draw_areas(group: Element, series: Series, x: Scale, y: Scale, number: int) -> None:
    """A filled outline for each run between gaps, with a line along its upper edge."""
    lows = series.lows or [0.0] * len(series.y)
    values = zip(series.x, lows, series.y, strict=True)
    for is_there, run in groupby(values, lambda each: all(map(math.isfinite, each))):
        if is_there:
            places = [(x.place(at), y.place(low), y.place(high)) for at, low, high in run]
            upper = [(at, high) for at, _, high in places]
            lower = [(at, low) for at, low, _ in places]
            SubElement(group, "path", {"class": "area", "d": _join_points(upper + lower[::-1])})
            # A value alone is a line of no length.
            SubElement(group, "path", {"class": "line", "d": _join_points([*upper, upper[-1]])})


def _draw_points(group: Element, series: Series, x: Scale, y: Scale, number: int) -> None:
    # Series beside each other, so that whiskers do not hide each other.
    shift = (number - 1) * 2 * _MARK_PX
    for low, high, at in zip(series.lows, series.highs, series.x, strict=False):
        across = x.place(at) + shift
        _draw_line(group, "whisker", (across, y.place(low)), (across, y.place(high)))
    for at, value in zip(series.x, series.y, strict=True):
        says = f"{series.name}: {show_tick(at)}, {value:.3f}"
        _draw_mark(group, number, x.place(at) + shift, y.place(value), says)


def _draw_dots(group: Element, series: Series, x: Scale, y: Scale, number: int) -> None:
    """One path of all: a line of no length, with round ends, is a dot."""
    places = ((x.place(a), y.place(b)) for a, b in zip(series.x, series.y, strict=True))
    path = "".join(f"M{_number(a)} {_number(b)}h0" for a, b in places)
    SubElement(group, "path", {"class": "dots", "d": path})


_DRAW = {
    "line": _draw_lines,
    "bars": _draw_bars,
    "points": _draw_points,
    "dots": _draw_dots,
    "area": _draw_areas,
}


def _draw_mark(group: Element, number: int, x: float, y: float, says: str) -> None:
    """A circle, square, triangle or diamond, so that series differ without colour."""
    r = _MARK_PX
    if number == 1:
        mark = SubElement(
            group, "circle", {"class": "mark", "cx": _number(x), "cy": _number(y), "r": str(r)}
        )
    else:
        corners = {
            2: [(-r, -r), (r, -r), (r, r), (-r, r)],
            3: [(0, -r - 1), (r + 1, r), (-r - 1, r)],
        }.get(number, [(0, -r - 2), (r + 2, 0), (0, r + 2), (-r - 2, 0)])
        path = _join_points([(x + dx, y + dy) for dx, dy in corners]) + "Z"
        mark = SubElement(group, "path", {"class": "mark", "d": path})
    if says:
        _add_text(mark, "title", {}, says)


def _draw_line(
    parent: Element, kind: str, start: tuple[float, float], end: tuple[float, float]
) -> None:
    SubElement(parent, "path", {"class": kind, "d": _join_points([start, end])})


def _add_text(parent: Element, tag: str, attributes: dict[str, str], text: str) -> None:
    SubElement(parent, tag, attributes).text = sanitize(text)


def _join_points(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(_list_pairs(points)) if points else ""


def _list_pairs(points: Sequence[tuple[float, float]]) -> Iterator[str]:
    for x, y in points:
        yield f"{_number(x)} {_number(y)}"


def _number(value: float) -> str:
    return f"{round(value, 1):g}"
