"""Holds the figures of a device, prints them as one table and keeps them as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `least` is what is asked of it, where something is."""

    part: str
    what: str
    value: float
    unit: str = ""
    least: float | None = None

    def without_bound(self) -> Figure:
        """The figure of a rehearsal, of whose speed nothing is asked."""
        return replace(self, least=None) if self.unit else self

    @property
    def holds(self) -> bool:
        return self.least is None or self.value >= self.least


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the table that is no number: what was found, or what went wrong."""

    part: str
    what: str
    text: str
    failed: bool = False

    def without_bound(self) -> Note:
        return self


Row = Figure | Note


def print_table(console: Console, title: str, rows: Sequence[Row]) -> None:
    table = Table("part", "what", "figure", "at least", title=title, box=None)
    for row in rows:
        if isinstance(row, Note):
            table.add_row(row.part, row.what, row.text, "[red]failed[/]" if row.failed else "")
        else:
            least = "" if row.least is None else f"{row.least:g}"
            missed = "" if row.holds else " [red]missed[/]"
            table.add_row(row.part, row.what, f"{row.value:.4g} {row.unit}", least + missed)
    console.print(table)


def keep(path: Path, machine: str, rows: Sequence[Row]) -> None:
    """Write what there is so far, so that an end by force leaves it."""
    path.parent.mkdir(exist_ok=True)
    lines = [asdict(row) for row in rows]
    path.write_text(json.dumps({"machine": machine, "figures": lines}, indent=1) + "\n")
