"""Shows progress: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars

from pipeline.cli.console import print_line
from pipeline.cli.verbosity import is_quiet, is_verbose
from pipeline.progress import Progress

_SECONDS_A_LINE = 5.0


class PlainProgress(Progress):
    """A line every few seconds, for logs."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last = time.monotonic()
        self._objects_shown = False
        self._noted = ""

    def note(self, text: str) -> None:
        if text != self._noted:
            self._noted = text
            self._print(text[:1].upper() + text[1:])

    def advance(self) -> None:
        # The first objects are what everybody waits for.
        first = self.counts.objects and not self._objects_shown
        if first or time.monotonic() - self._last >= _SECONDS_A_LINE:
            self._objects_shown = self.counts.objects > 0
            self._print(", ".join(filter(None, (self.describe(), self.describe_newest()))))

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        print_line(self._console, line)


class LiveProgress(Progress):
    """A bar that stays in its place, for terminals, and below it what was found last."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bars = Bars(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            # Ray prints into streams that are replaced meanwhile; the bar keeps its own.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bars.add_task("listing images", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._bars.update(self._task, description=text)

    def advance(self) -> None:
        counts = self.counts
        total = counts.listed - counts.unchanged if counts.all_listed else None
        lines = "\n".join(filter(None, (self.describe(), self.describe_newest())))
        self._bars.update(self._task, completed=counts.handled, total=total, description=lines)


def show_progress(console: Console) -> Progress:
    """The display that suits `console`, which keeps writing to the stream that it has now.

    With --quiet there is none; with --verbose lines, as a bar would stand among those of the log.
    """
    if is_quiet():
        return Progress()
    bound = bind(console)
    return LiveProgress(bound) if bound.is_terminal and not is_verbose() else PlainProgress(bound)


def bind(console: Console) -> Console:
    """A console on the stream that `console` has now: while Ray runs, sys.stderr is another."""
    return Console(file=console.file, highlight=False)
