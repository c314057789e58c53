"""Defines what a report holds: sections of tables, plots and pictures. All texts are plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Tone = Literal["better", "worse", "same"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table: a text, smaller below it a note such as an interval, and a verdict.

    With a `tone` a symbol, a word and a colour say how one value does beside another.
    """

    text: str
    note: str = ""
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are columns; the first cell names its row.

    Columns after the first are aligned to the right, as numbers are.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is along an axis. Where `low` or `high` is None, the values decide.

    `show` is the text of a tick; None shows it as a plain number.
    """

    title: str
    low: float | None = None
    high: float | None = None
    is_logarithmic: bool = False
    show: Callable[[float], str] | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Values of a plot: `x` and `y` of a line or of points; of bars the edges and their heights.

    `lows` and `highs` are the ends of an interval around each point. Dots are points too many to
    be told apart. Bars have one edge more than heights. An area is what lies between `lows` (zero
    where there are none) and `y`; where one of these is NaN, it has a gap. What several series of a
    plot are called is told below it.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["line", "points", "dots", "bars", "area"] = "line"
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """At most four series on two axes; `alt` says in a sentence what is to be seen.

    `diagonal` is what the line of x = y is called, empty for none.
    """

    title: str
    alt: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    diagonal: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file of a picture, its type such as `image/webp`, its size in pixels, and what it shows."""

    data: bytes = field(repr=False)
    media_type: str
    size_wh: tuple[int, int]
    alt: str
    title: str
    lines: Sequence[str | Cell] = ()


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures beside each other, under a title."""

    title: str
    pictures: Sequence[Picture]
    text: str = ""


Part: TypeAlias = Table | Plot | Gallery


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a heading; plots that follow each other stand side by side."""

    heading: str
    parts: Sequence[Part]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A page: its title, a paragraph that says the most important, and its sections."""

    title: str
    lead: str
    sections: Sequence[Section]
