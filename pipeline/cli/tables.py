"""Prints tables: rows of text for a terminal, whole lines for a file or a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.console import out
from pipeline.messages import printable

WIDE = 110
"""Columns of a terminal from which on what is stacked has a column of its own beside the rest."""
_GAP, _INDENT = 2, "    "


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], stacked: int = 1, right: int = 0
) -> None:
    """Print a table on a terminal, nothing of it cut off; elsewhere one whole line a row.

    On a terminal the last `stacked` columns share one, each below the one before; the first `right`
    are aligned to the right. Where that has no room, the stacked ones follow on a line below the
    others, the narrowest first, which the terminal may wrap: what it wraps is copied whole.
    """
    console = out()
    if not console.is_terminal:
        _print_lines([columns, *rows])
        return
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if _has_room(console, columns, widths, stacked):
        console.print(_build_table(columns, cells, stacked, right))
    else:
        _print_in_two_lines(console, columns, cells, widths, stacked, right)


def _has_room(
    console: Console, columns: Sequence[str], widths: Sequence[int], stacked: int
) -> bool:
    """Whether all columns fit beside each other: of what is stacked the last, an id, whole."""
    apart = len(columns) - stacked
    heading = len(", ".join(columns[apart:]))
    needed = sum(widths[:apart]) + _GAP * apart + max(heading, widths[-1])
    least = WIDE if stacked > 1 else 0
    return max(needed, least) <= console.width


def _build_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], stacked: int, right: int
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    apart = len(columns) - stacked
    for position, name in enumerate(columns[:apart]):
        table.add_column(name, justify="right" if position < right else "left", no_wrap=True)
    table.add_column(", ".join(columns[apart:]), overflow="fold")
    for row in rows:
        first, *below = row[apart:]
        cell = Text("\n").join([Text(first), *(Text(text, "dim") for text in below)])
        table.add_row(*map(Text, row[:apart]), cell)
    return table


def _print_in_two_lines(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    stacked: int,
    right: int,
) -> None:
    apart = len(columns) - stacked
    below = sorted(range(apart, len(columns)), key=widths.__getitem__)
    for number, row in enumerate([columns, *rows]):
        style = "" if number else "dim"
        beside = [
            cell.rjust(width) if position < right else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row[:apart], widths, strict=False))
        ]
        under = [row[position].ljust(widths[position]) for position in below]
        for line in ("  ".join(beside).rstrip(), _INDENT + "  ".join(under).rstrip()):
            console.print(Text(line, style), soft_wrap=True)
            style = "dim"


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())
