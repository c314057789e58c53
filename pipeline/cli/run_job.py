"""Runs a job with its progress on the screen, and prints what it came to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from pipeline.cli.console import EXIT_FAILED, err, out
from pipeline.messages import printable, sanitize

if TYPE_CHECKING:
    from pipeline.jobs.ingest import IngestSummary
    from pipeline.progress import Progress, RunDetails
    from pipeline.settings import Settings


_T = TypeVar("_T")


def shown(settings: Settings, work: Callable[[Progress], _T], *, segmenting: bool = True) -> _T:
    """Do `work` on images with its progress on the screen; weights are fetched before it.

    Those of the segmenter only if it is `segmenting`.
    """
    from pipeline.cli.progress_bars import show_progress
    from pipeline.cli.weights import fetch_segmenter

    wanted = segmenting and settings.segmenter.checkpoint is None
    if wanted and settings.runner.ray_address is None:
        fetch_segmenter(settings.segmenter.name, settings.cache_dir, err())
    progress = show_progress(err())
    try:
        return work(progress)
    except KeyboardInterrupt:
        typer.echo(
            f"{progress.counts.done:,} images are written to {settings.index.location}; "
            "the same command goes on from here.",
            err=True,
        )
        raise


def conclude(summary: IngestSummary, settings: Settings) -> None:
    """Print what a run came to; the exit code tells whether images have failed."""
    console = out()
    counts = summary.counts
    rows = [(state, f"{getattr(counts, state):,}") for state in _SHOWN]
    rows += [
        (f"skipped: {reason}", f"{n:,}") for reason, n in summary.details.skipped.most_common()
    ]
    rows.append(("seconds", f"{summary.seconds:.1f}"))
    if counts.handled:
        rows.append(("images/s, once models are loaded", f"{summary.images_per_s:.2f}"))
    rows.append(("index", summary.location))
    if summary.log is not None:
        rows.append(("log", str(summary.log)))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)
    if not counts.handled:
        typer.echo("Nothing to do: every image was dealt with before, with the same settings.")
        _print_rejected_before(settings)
    _print_empty(summary.details)
    _print_failures(summary, settings)
    if counts.failed:
        raise typer.Exit(EXIT_FAILED)


def _print_empty(details: RunDetails) -> None:
    from workers.stores.selection import EMPTY

    console = out()
    for uri in details.empty_uris:
        console.print(f"skipped, {EMPTY}: {printable(uri)}", markup=False, soft_wrap=True)
    if more := details.skipped[EMPTY] - len(details.empty_uris):
        console.print(f"and {more:,} more of {EMPTY}")


def _print_rejected_before(settings: Settings) -> None:
    from pipeline.index_home import IndexHome
    from schemas.manifest import State

    if rejected := IndexHome.current(settings).manifest.counts()[State.REJECTED]:
        told = "image was rejected" if rejected == 1 else "images were rejected"
        location = settings.index.location
        typer.echo(f"{rejected:,} {told} as bad input: objseek failures --index {location}")


_SHOWN = ("listed", "unchanged", "done", "rejected", "failed", "gone", "objects")


def _print_failures(summary: IngestSummary, settings: Settings) -> None:
    console = out()
    counts, shown = summary.counts, summary.details.failures
    for failure in shown:
        state = "rejected" if failure.rejected else "gone" if failure.gone else "failed"
        line = f"{state}: {sanitize(failure.message)}"
        console.print(line, markup=False, soft_wrap=True)
    total = counts.rejected + counts.failed + counts.gone
    if total > len(shown):
        console.print(
            f"and {total - len(shown):,} more: objseek failures --index {settings.index.location}",
            markup=False,
            soft_wrap=True,
        )
