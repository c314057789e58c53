"""`objseek watch`: an index that follows its source by itself."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import err, out, user_errors
from pipeline.cli.options import Load, MaxDelete, Sources, with_settings
from pipeline.messages import quantify, sanitize

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.jobs.watch import Round
    from pipeline.progress import Progress

_EVERY_S = 30.0
_EVERY_WITH_QUEUE_S = 300.0

_HELP = """Keep an index in step with its source: what comes, changes or goes there does so here.

The source is listed again and again, and what differs is done, as `objseek sync` does it; models
are loaded once, when there is something to do. With --queue, an SQS queue that gets the bucket's
event notifications, changes are taken from there as they come, and listings repair what was lost.
Events may come twice, late or in any order. See docs/watch.md.

A folder index is open only while something is written to it. Ctrl-C or SIGTERM end it.

Examples:

    objseek watch s3://photos/2026/ --index http://qdrant:6333/photos

    objseek watch s3://photos --index photos-index
    --queue https://sqs.eu-west-1.amazonaws.com/123456789012/photos

    objseek watch ~/Pictures --index photos-index --every 10
"""


def register(app: typer.Typer) -> None:
    """Add `watch` to the command line."""
    app.command("watch", help=_HELP)(with_settings(watch_command))


@user_errors
def watch_command(
    load: Load,
    sources: Sources,
    queue: Annotated[
        str | None, typer.Option(help="The URL of an SQS queue with the bucket's notifications.")
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds between listings.", show_default="30, with a queue 300"),
    ] = None,
    max_delete: MaxDelete = None,
    once: Annotated[bool, typer.Option("--once", help="List once, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print rounds as lines of JSON.")] = False,
) -> None:
    """The command; its help stands above."""

    from pipeline.cli.weights import fetch_segmenter
    from pipeline.jobs.sync import MAX_DELETE
    from pipeline.jobs.watch import Told, watch
    from pipeline.runners.recipe import build_recipe
    from workers.queues.sqs import SqsQueue

    settings = load()
    messages = None if queue is None else SqsQueue(queue, settings.store)
    if settings.segmenter.checkpoint is None and settings.runner.ray_address is None:
        fetch_segmenter(settings.segmenter.name, settings.cache_dir, err())
    usual = _EVERY_S if queue is None else _EVERY_WITH_QUEUE_S
    # Bound to the streams that there are now: while Ray runs, what is printed goes to its log.
    results, aside = _bound(out()), _bound(err())
    totals = _Totals(results, as_json=as_json)
    _say(aside, f"Watching {' '.join(sources)}; Ctrl-C ends it.")
    try:
        with _ended_by_sigterm():
            watch(
                sources,
                settings,
                Told(
                    totals.tell,
                    lambda text: _say(aside, f"warning: {sanitize(text)}"),
                    partial(_progress, aside),
                ),
                every_s=usual if every is None else every,
                queue=messages,
                max_delete=MAX_DELETE if max_delete is None else max_delete,
                once=once,
                recipe=build_recipe(settings),
            )
    finally:
        _say(aside if as_json else results, totals.told())


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """A SIGTERM ends the block as cleanly as Ctrl-C does, and is no error."""
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if not came:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _bound(console: Console) -> Console:
    from rich.console import Console

    return Console(file=console.file, highlight=False)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _progress(console: Console) -> Progress:
    """A bar on a terminal; in a log nothing but what was done."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.progress import Progress

    return show_progress(console) if console.is_terminal else Progress()


class _Totals:
    """Prints rounds that did something, and adds them up."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console, self._as_json = console, as_json
        self._done = self._removed = self._rounds = 0

    def tell(self, one: Round) -> None:
        self._rounds += 1
        if not one.changed:
            return
        self._done += one.counts.done
        self._removed += one.removed
        if self._as_json:
            _say(self._console, json.dumps(one.to_json()))
            return
        parts = [quantify(one.counts.done, "image"), quantify(one.counts.objects, "object")]
        parts += [
            f"{number:,} {state}"
            for state, number in one.to_json().items()
            if state in ("rejected", "failed", "removed") and number
        ]
        _say(
            self._console,
            f"{one.started_at:%Y-%m-%d %H:%M:%S}  {one.cause:<7}  {', '.join(parts)}  "
            f"{one.seconds:.1f} s",
        )

    def told(self) -> str:
        """All of it in one line."""
        return (
            f"{quantify(self._done, 'image')} ingested and {self._removed:,} removed in "
            f"{quantify(self._rounds, 'round')}."
        )
