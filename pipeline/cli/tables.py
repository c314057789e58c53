"""Prints tables: rows of text for a terminal, whole lines for a file or a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.console import out
from pipeline.messages import printable


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], stacked: int = 1, right: int = 0
) -> None:
    """Print a table on a terminal, folded where it is too wide; elsewhere one whole line a row.

    On a terminal the last `stacked` columns share one, each below the one before; the first `right`
    are aligned to the right.
    """
    console = out()
    if console.is_terminal:
        console.print(_build_table(columns, rows, stacked, right))
    else:
        _print_lines([columns, *rows])


def _build_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], stacked: int, right: int
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    apart = len(columns) - stacked
    for position, name in enumerate(columns[:apart]):
        table.add_column(name, justify="right" if position < right else "left", no_wrap=True)
    table.add_column(", ".join(columns[apart:]), overflow="fold")
    for row in rows:
        first, *below = map(printable, row[apart:])
        cell = Text("\n").join([Text(first), *(Text(text, "dim") for text in below)])
        table.add_row(*map(Text, map(printable, row[:apart])), cell)
    return table


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())
