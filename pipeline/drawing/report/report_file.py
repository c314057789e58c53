"""Writes a report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.drawing.report.contents import Part, Picture, Report
from pipeline.drawing.report.plots import draw_key, draw_plot
from pipeline.messages import sanitize
from workers.durable_files import check_output_file, write_output

_SIGNS = {"better": "▲", "worse": "▼", "same": "≈"}
_WORDS = {"better": "better", "worse": "worse", "same": "within noise"}


def check_report_file(path: Path) -> None:
    """Raise UsageError unless a report can be written there: before, not after, the work."""
    check_output_file(path, "the report")


def write_report(path: Path, report: Report) -> None:
    """Write the whole report or nothing. Raises UsageError where the file cannot be written."""
    page = render_report(report).encode("utf-8", "replace")
    with write_output(path, "the report") as file:
        file.write(page)


def render_report(report: Report) -> str:
    """The page. All its texts are escaped, and none has a secret or a control character."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "signs": _SIGNS,
        "words": _WORDS,
        "draw_plot": lambda plot: Markup(draw_plot(plot)),
        "draw_key": lambda plot, number: Markup(draw_key(plot, number)),
    }
    environment.filters |= {"group_plots": _group_plots, "address": _make_address}
    environment.tests |= {"plain": lambda cell: isinstance(cell, str)}
    return environment.get_template("page.html").render(report=report)


def _clean(value: object) -> object:
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return sanitize(str(value)) if is_text else value


def _group_plots(parts: Iterable[Part]) -> Iterator[tuple[str, list[Part]]]:
    """The parts by kind, in their order: `Table`, `Plot` or `Gallery`, those beside each other."""
    for kind, group in groupby(parts, key=lambda part: type(part).__name__):
        yield kind, list(group)


def _make_address(picture: Picture) -> Markup:
    """The picture itself, as an address."""
    data = base64.b64encode(picture.data).decode("ascii")
    return Markup("data:{};base64,{}").format(picture.media_type, data)
