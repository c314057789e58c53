"""`objseek watch`: an index that follows its source by itself."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.console import err, out, print_line, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    INGEST_OPTIONS,
    MAX_DELETE,
    MaxDelete,
    Sources,
)
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.verbosity import is_quiet
from pipeline.messages import quantify, sanitize

with lazy_imports():
    import pipeline.progress
    from pipeline.cli import progress_bars, run_job
    from pipeline.jobs import watch
    from pipeline.observing import json_lines
    from workers.queues import sqs

_log = logging.getLogger(__name__)
_EVERY_S = 30.0
_EVERY_WITH_QUEUE_S = 300.0

_HELP = """Keep an index in step with its source, as images are added, changed and deleted there.

The source is listed again and again, and the differences are handled as `objseek sync` handles
them; models are loaded once, when there is something to do. With --queue, an SQS queue that gets
the bucket's event notifications, changes are taken from there as they come, and listings make up
for lost events. Events may come twice, late or in any order. See docs/watch.md.

A folder index is open only while something is written to it. Ctrl-C or SIGTERM ends the command.

Examples:

    objseek watch s3://photos/2026/ --index http://qdrant:6333/photos

    objseek watch s3://photos --index photos-index
    --queue https://sqs.eu-west-1.amazonaws.com/123456789012/photos

    objseek watch ~/Pictures --index photos-index --every 10
"""


def register(app: typer.Typer) -> None:
    """Add `watch` to the command line."""
    app.command("watch", help=_HELP)(watch_command)


@add_options(*INGEST_OPTIONS)
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
    max_delete: MaxDelete = MAX_DELETE,
    once: Annotated[bool, typer.Option("--once", help="List once, then end.")] = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    messages = None if queue is None else sqs.SqsQueue(queue, settings.store)
    with json_lines.json_log(settings.observe):
        run_job.prepare_models(settings)
        run_job.prepare_propagator(settings)
    usual = _EVERY_S if queue is None else _EVERY_WITH_QUEUE_S
    # While Ray runs, sys.stdout and sys.stderr are others: what is printed goes to its log.
    results, notes = progress_bars.bind(out()), progress_bars.bind(err())
    rounds = _RoundPrinter(results, as_json=as_json)
    is_logged = settings.observe.log_format == "json"
    if not (is_logged or is_quiet()):
        print_line(notes, f"Watching {' '.join(sources)}; press Ctrl-C to end it.")
    try:
        with _end_on_sigterm(), json_lines.json_log(settings.observe):
            watch.watch(
                sources,
                settings,
                watch.WatchReporter(
                    rounds.print_round,
                    _log_trouble
                    if is_logged
                    else lambda text: print_line(notes, f"warning: {sanitize(text)}"),
                    partial(run_job.choose_progress, settings)
                    if is_logged
                    else _progress_factory(notes),
                ),
                every_s=usual if every is None else every,
                queue=messages,
                max_delete=max_delete,
                once=once,
            )
    finally:
        print_line(notes if as_json else results, rounds.summarize())


def _log_trouble(text: str) -> None:
    _log.warning("%s", text, extra={"fields": {"event": "trouble"}})


@contextmanager
def _end_on_sigterm() -> Iterator[None]:
    """A SIGTERM ends the block as cleanly as Ctrl-C does, and is no error."""
    received = False

    def end(number: int, frame: object) -> None:
        nonlocal received
        received = True
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if not received:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _progress_factory(console: Console) -> Callable[[], pipeline.progress.Progress]:
    """Makes a bar on a terminal; a log gets nothing but what was done."""
    if console.is_terminal and not is_quiet():
        return lambda: progress_bars.show_progress(console)
    return pipeline.progress.Progress


class _RoundPrinter:
    """Prints rounds that did something, and adds them up."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console, self._as_json = console, as_json
        self._done = self._removed = self._rounds = 0

    def print_round(self, result: watch.Round) -> None:
        self._rounds += 1
        if not result.changed:
            return
        self._done += result.counts.done
        self._removed += result.removed
        if self._as_json:
            print_line(self._console, json.dumps(result.to_json()))
            return
        parts = [quantify(result.counts.done, "image"), quantify(result.counts.objects, "object")]
        parts += [
            f"{number:,} {state}"
            for state, number in result.to_json().items()
            if state in ("rejected", "failed", "removed") and number
        ]
        print_line(
            self._console,
            f"{result.started_at:%Y-%m-%d %H:%M:%S}  {result.cause:<7}  {', '.join(parts)}  "
            f"{result.seconds:.1f} s",
        )

    def summarize(self) -> str:
        """All rounds in one line."""
        return (
            f"{quantify(self._done, 'image')} ingested and {self._removed:,} removed in "
            f"{quantify(self._rounds, 'round')}."
        )
