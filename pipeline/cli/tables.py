"""Rows of text for a person at a terminal, or whole lines for a file or a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from pipeline.cli.console import out
from pipeline.messages import printable


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], stacked: int = 1, right: int = 0
) -> None:
    """A table on a terminal, which folds what is wide; otherwise one line a row, never shortened.

    On a terminal the last `stacked` columns stand in one, one below the other; the first `right`
    are aligned to the right.
    """
    console = out()
    if not console.is_terminal:
        _print_lines([columns, *rows])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    apart = len(columns) - stacked
    for position, name in enumerate(columns[:apart]):
        table.add_column(name, justify="right" if position < right else "left", no_wrap=True)
    table.add_column(", ".join(columns[apart:]), overflow="fold")
    for row in rows:
        first, *below = map(printable, row[apart:])
        cell = Text("\n").join([Text(first), *(Text(text, "dim") for text in below)])
        table.add_row(*map(Text, map(printable, row[:apart])), cell)
    console.print(table)


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
