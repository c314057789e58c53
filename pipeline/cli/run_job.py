"""Runs a job with its progress on the screen, and prints what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from pipeline.cli.console import EXIT_FAILED, err, out, print_line
from pipeline.cli.logged_progress import LoggedProgress
from pipeline.cli.progress_bars import show_progress
from pipeline.cli.weights import fetch_propagator, fetch_segmenter
from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import IngestSummary
from pipeline.messages import describe_dropped, printable, sanitize
from pipeline.observing.json_lines import json_log
from pipeline.progress import Progress, RunDetails
from pipeline.settings import Settings
from schemas.manifest import State
from workers.models.propagator_options import check_propagator
from workers.registry import check_embedder, check_segmenter
from workers.stores.selection import EMPTY

_T = TypeVar("_T")

_STATES = ("listed", "unchanged", "done", "rejected", "failed", "gone", "objects")


def run_with_progress(
    settings: Settings, work: Callable[[Progress], _T], *, segmenting: bool = True
) -> _T:
    """Do `work` on images with its progress on the screen, after a look at its models.

    Without `segmenting` there is no segmenter, and no weights of one are fetched.
    """
    with json_log(settings.observe):
        prepare_models(settings, segmenting=segmenting)
        if segmenting:
            prepare_propagator(settings)
        return _run_interruptible(settings, work)


def choose_progress(settings: Settings) -> Progress:
    """What shows a run: on the screen, or in the log where that is JSON."""
    observe = settings.observe
    if observe.log_format == "json":
        return LoggedProgress(observe.progress_every_s)
    return show_progress(err())


def _run_interruptible(settings: Settings, work: Callable[[Progress], _T]) -> _T:
    progress = choose_progress(settings)
    try:
        return work(progress)
    except KeyboardInterrupt:
        counts = progress.counts
        typer.echo(
            f"{counts.done:,} {counts.noun} are written to {settings.index.location}; "
            "the same command continues from here.",
            err=True,
        )
        raise


def check_models(settings: Settings, *, segmenting: bool = True) -> None:
    """Raise what a run would of the names of models: nothing is fetched or loaded."""
    if settings.runner.ray_address is not None:
        return
    check_embedder(settings.embedder)
    if segmenting:
        check_segmenter(settings.segmenter, settings.cache_dir)
        if settings.store.has_videos:
            check_propagator(settings.video, settings.segmenter)


def prepare_models(settings: Settings, *, segmenting: bool = True, for_texts: bool = False) -> None:
    """Check what is named before anything takes long, then fetch the segmenter's weights.

    With `for_texts` also those of the detector that looks for texts in single images, if it is
    named. They are fetched with a bar, unless they are on this machine; the machines of a Ray
    cluster fetch them for themselves, and have local files of their own. Raises UnknownModelError,
    ModelError, DownloadError.
    """
    check_models(settings, segmenting=segmenting)
    if segmenting and settings.runner.ray_address is None:
        fetch_segmenter(settings.segmenter, settings.cache_dir, err(), for_texts=for_texts)


def prepare_propagator(settings: Settings) -> None:
    """As `prepare_models`, for the video model that carries masks, where videos are read."""
    if not settings.store.has_videos or settings.runner.ray_address is not None:
        return
    fetch_propagator(settings.video, settings.segmenter, settings.cache_dir, err())


def print_summary(
    summary: IngestSummary,
    settings: Settings,
    *,
    removed: int = 0,
    removed_added: int = 0,
    as_json: bool = False,
) -> None:
    """Print what came of a run; if images have failed, end with the exit code for that.

    `removed` images were taken out of the index before it, and `removed_added` objects that were
    added by hand with them, which JSON counts with those that the run itself dropped.
    """
    counts = summary.counts
    if as_json:
        typer.echo(json.dumps(_list_fields(summary, removed, removed_added), indent=2))
        if counts.failed:
            raise typer.Exit(EXIT_FAILED)
        return
    rows = _summary_rows(summary)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print_line(out(), f"{name:<{width}}  {value}")
    if not counts.listed:
        typer.echo("Nothing to do: no image of the source is in this shard.")
    elif not counts.handled:
        nothing = "Nothing else to do" if removed else "Nothing to do"
        typer.echo(f"{nothing}: everything was processed before, with the same settings.")
        _print_rejected_before(settings)
    for warning in summary.details.warnings:
        print_line(out(), f"note: {sanitize(warning)}")
    if summary.details.dropped_added:
        print_line(out(), f"note: {describe_dropped(summary.details.dropped_added)}")
    _print_empty(summary.details)
    _print_failures(summary, settings)
    if counts.failed:
        raise typer.Exit(EXIT_FAILED)


def _list_fields(summary: IngestSummary, removed: int, removed_added: int) -> dict[str, Any]:
    """What came of a run, as JSON has it; of failures the first few."""
    details = summary.details
    return {
        **summary.counts.model_dump(exclude={"all_listed"}),
        "removed": removed,
        "skipped": dict(details.skipped),
        "failures": [sanitize(failure.message) for failure in details.failures],
        "notes": [sanitize(warning) for warning in details.warnings],
        "dropped_added": details.dropped_added + removed_added,
        "seconds": summary.seconds,
        "images_per_s": summary.images_per_s,
        "index": summary.location,
        "log": None if summary.log is None else str(summary.log),
    }


def _summary_rows(summary: IngestSummary) -> list[tuple[str, str]]:
    counts = summary.counts
    rows = [(state, f"{getattr(counts, state):,}") for state in _STATES]
    if counts.videos:
        rows.insert(_STATES.index("done") + 1, ("of them videos", f"{counts.videos:,}"))
    skipped = summary.details.skipped.most_common()
    rows += [(f"skipped: {reason}", f"{number:,}") for reason, number in skipped]
    rows.append(("seconds", f"{summary.seconds:.1f}"))
    if counts.handled:
        rate = f"{summary.images_per_s:.2f}"
        rows.append((f"{counts.rate_noun}/s, once models are loaded", rate))
    rows.append(("index", summary.location))
    if summary.log is not None:
        rows.append(("log", str(summary.log)))
    return rows


def _print_empty(details: RunDetails) -> None:
    for uri in details.empty_uris:
        print_line(out(), f"skipped, {EMPTY}: {printable(uri)}")
    if more := details.skipped[EMPTY] - len(details.empty_uris):
        print_line(out(), f"and {more:,} more of {EMPTY}")


def _print_rejected_before(settings: Settings) -> None:
    if rejected := IndexHome.current(settings).manifest.counts()[State.REJECTED]:
        images = "image was" if rejected == 1 else "images were"
        location = settings.index.location
        typer.echo(
            f"{rejected:,} {images} rejected as bad input: objseek failures --index {location}"
        )


def _print_failures(summary: IngestSummary, settings: Settings) -> None:
    counts, shown = summary.counts, summary.details.failures
    for failure in shown:
        state = "rejected" if failure.rejected else "gone" if failure.gone else "failed"
        print_line(out(), f"{state}: {sanitize(failure.message)}")
    total = counts.rejected + counts.failed + counts.gone
    if more := total - len(shown):
        print_line(out(), f"and {more:,} more: objseek failures --index {settings.index.location}")
