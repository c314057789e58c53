"""Prints the tables of `objseek status`: bars for each prefix and day, and the pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import Grouping
from pipeline.manifest.coverage import EARLIER, Coverage, PipelineCounts, largest, latest
from pipeline.messages import printable
from schemas.pipelines import Pipeline

_MOST_ROWS = 20
_WIDEST_BAR = 40
_NARROWEST_BAR = 12
# Into a file or a pipe nothing is folded, however long a prefix is.
_NO_TERMINAL = 10_000
_STYLES = {"done": "green", "rejected": "yellow", "failed": "red", "gone": "dim", "waiting": "cyan"}
_MARKS = dict(zip(_STYLES, "█▓▒░·", strict=True))
_ASCII_MARKS = dict(zip(_STYLES, "#x!-.", strict=True))


def print_coverage(
    console: Console,
    coverage: Coverage,
    by: Grouping | None,
    models: Mapping[str, Pipeline | None] | None = None,
) -> None:
    """Print the tables of images grouped `by`; None: by both, by prefix only if there are several.

    `models` are what the fingerprints of pipelines stand for, where that is known.
    """
    if not console.is_terminal:
        console.width = _NO_TERMINAL
    prefixes = coverage.prefixes()
    noun = "images and videos" if coverage.videos() else "images"
    if by in ("prefix", "both") or (by is None and len(prefixes) > 1):
        common = _format_uri(coverage.common())
        below = f", below {common}" if common else ""
        rows = largest(prefixes, _MOST_ROWS)
        names = [
            _format_uri(name).removeprefix(common) or "./" for name in rows["prefix"].to_pylist()
        ]
        _print_groups(console, f"{noun} by prefix{below}", names, rows.drop_columns("prefix"))
    if by != "prefix":
        rows = latest(coverage.days(), _MOST_ROWS)
        days = rows["day"].to_pylist()
        _print_groups(
            console, f"{noun} by day (UTC)", days, rows.drop_columns("day"), to_scale=True
        )
    pipelines = coverage.pipelines()
    if len(pipelines) > 1:
        table = _pipelines_table(pipelines, models or {}, noun)
        _print_table(console, "pipelines side by side", table)


def _print_groups(
    console: Console, title: str, names: Sequence[str], counts: pa.Table, *, to_scale: bool = False
) -> None:
    """Bars show shares; `to_scale`, also how many images a group has compared with the others."""
    if not names:
        return
    columns = {state: counts[state].to_pylist() for state in counts.column_names}
    columns = {
        state: numbers
        for state, numbers in columns.items()
        # Without a listing nobody knows what is waiting; that nothing is waiting is worth a column.
        if (state in ("done", "waiting") and None not in numbers) or any(numbers)
    }
    marks = _ASCII_MARKS if console.options.ascii_only else _MARKS
    table = _new_table(Text(""))
    for state in columns:
        table.add_column(
            Text(f"{marks[state]} {state}", _STYLES[state]), justify="right", no_wrap=True
        )
    table.add_column("")
    rows = list(zip(*columns.values(), strict=True))
    most = max(sum(row) for row, name in zip(rows, names, strict=True) if name != EARLIER)
    for name, row in zip(names, rows, strict=True):
        # Earlier days together may have so many that a single day's bar would be too short to see.
        full = max(most, sum(row)) if to_scale else sum(row)
        bar = _Bar(dict(zip(columns, row, strict=True)), full, marks)
        table.add_row(Text(name), *(f"{count:,}" for count in row), bar)
    _print_table(console, title, table)


def _pipelines_table(
    pipelines: Iterable[PipelineCounts], models: Mapping[str, Pipeline | None], noun: str
) -> Table:
    table = _new_table(Text("fingerprint", "dim"))
    for name in ("segmenter", "embedder"):
        table.add_column(Text(name, "dim"), overflow="fold")
    for name in (noun, "objects"):
        table.add_column(Text(name, "dim"), justify="right")
    for name in ("first day", "last day"):
        table.add_column(Text(name, "dim"))
    for counts in pipelines:
        used = models.get(counts.fingerprint)
        names = (used.segmenter, used.embedder) if used else ("?", "?")
        table.add_row(
            *map(Text, map(printable, (counts.fingerprint, *names))),
            f"{counts.images:,}",
            f"{counts.objects:,}",
            counts.first_day,
            counts.last_day,
        )
    return table


def _new_table(first: Text) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column(first, overflow="fold")
    return table


def _print_table(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, "bold"), soft_wrap=True)
    console.print(table)


def _format_uri(uri: str) -> str:
    """A uri as a person reads it: the path of a file."""
    if uri.startswith("file://"):
        uri = unquote(uri.removeprefix("file://"), errors="surrogateescape")
    return printable(uri)


class _Bar:
    """A group in marks of its states, as wide as there is room for if it has `full` images."""

    def __init__(self, counts: dict[str, int], full: int, marks: dict[str, str]) -> None:
        self._counts = counts
        self._full = full
        self._marks = marks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST_BAR)
        text = Text(no_wrap=True, end="")
        for state, length in _fit_lengths(self._counts, self._full, width):
            text.append(self._marks[state] * length, _STYLES[state])
        yield text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NARROWEST_BAR, _WIDEST_BAR)


def _fit_lengths(counts: dict[str, int], full: int, width: int) -> Iterator[tuple[str, int]]:
    """Characters for each state that has any image: at least one, however few they are."""
    lengths, images, drawn = dict.fromkeys(counts, 0), 0, 0
    for state, count in counts.items():
        images += count
        lengths[state] = round(images * width / full) - drawn
        drawn += lengths[state]
    for state, count in counts.items():
        if count and not lengths[state]:
            longest = max(lengths, key=lengths.__getitem__)
            lengths[longest] -= lengths[longest] > 1
            lengths[state] = 1
    yield from lengths.items()
