"""`objseek ingest`: make the images of a bucket or folder searchable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pipeline.commands.options import Load, Sources, with_settings
from pipeline.console import EXIT_FAILED, err, out, printable, told, user_errors

if TYPE_CHECKING:
    from pipeline.ingest import IngestSummary
    from pipeline.progress import Counts, Progress
    from pipeline.settings import Settings

_T = TypeVar("_T")
_HELP = """Segment every image, embed every object, and write both to the index.

What an earlier run has done is left alone, so an interrupted run goes on where it stopped.

Examples:

    objseek ingest s3://photos/2026/ --index photos-index --workers 4

    objseek ingest s3://public-bucket --anonymous --include '*.jpg' --limit 1000

    objseek ingest ~/Pictures --segmenter sam_vit_b --embedder ViT-B-32/laion2b_s34b_b79k

    objseek ingest s3://photos --endpoint-url http://minio:9000 --index http://qdrant:6333/photos
"""


def register(app: typer.Typer) -> None:
    """Add `ingest` to the command line."""
    app.command("ingest", help=_HELP)(with_settings(ingest_command))


@user_errors
def ingest_command(
    load: Load,
    sources: Sources,
    limit: Annotated[int | None, typer.Option(help="Stop after so many images.")] = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.handover import ingest_by, service_of
    from pipeline.ingest import ingest
    from schemas.errors import IndexBusyError

    settings = load(limit=limit)

    def work(progress: Progress) -> IngestSummary:
        try:
            return ingest(sources, settings, progress)
        except IndexBusyError:
            service = service_of(settings.index.location)
            if service is None:
                raise
        with service:
            return ingest_by(service, sources, settings, progress)

    conclude(shown(settings, work), settings)


def shown(settings: Settings, work: Callable[[Progress], _T], *, segmenting: bool = True) -> _T:
    """Do `work` on images with its progress on the screen; weights are fetched before it.

    Those of the segmenter only if it is `segmenting`.
    """
    from pipeline.commands.models import fetch_segmenter
    from pipeline.progress import show_progress

    wanted = segmenting and settings.segmenter.checkpoint is None
    if wanted and settings.runner.ray_address is None:
        fetch_segmenter(settings.segmenter.name, err())
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
    rows += [(f"skipped: {reason}", f"{n:,}") for reason, n in counts.listing.skipped.most_common()]
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
    _print_empty(counts)
    _print_failures(counts, settings)
    if counts.failed:
        raise typer.Exit(EXIT_FAILED)


def _print_empty(counts: Counts) -> None:
    from workers.stores import EMPTY

    console, listing = out(), counts.listing
    for uri in listing.empty:
        console.print(f"skipped, {EMPTY}: {printable(uri)}", markup=False, soft_wrap=True)
    if more := listing.skipped[EMPTY] - len(listing.empty):
        console.print(f"and {more:,} more of {EMPTY}")


def _print_rejected_before(settings: Settings) -> None:
    from pipeline.generations import at_current
    from pipeline.manifest import open_manifest
    from schemas.manifest import State

    current = at_current(settings)
    if rejected := open_manifest(current.index, current.store).counts()[State.REJECTED]:
        told = "image was rejected" if rejected == 1 else "images were rejected"
        location = settings.index.location
        typer.echo(f"{rejected:,} {told} as bad input: objseek failures --index {location}")


_SHOWN = ("listed", "unchanged", "done", "rejected", "failed", "gone", "objects")


def _print_failures(counts: Counts, settings: Settings) -> None:
    console = out()
    for failure in counts.shown:
        state = "rejected" if failure.rejected else "gone" if failure.gone else "failed"
        line = f"{state}: {told(failure.message)}"
        console.print(line, markup=False, soft_wrap=True)
    total = counts.rejected + counts.failed + counts.gone
    if total > len(counts.shown):
        console.print(
            f"and {total - len(counts.shown):,} more: "
            f"objseek failures --index {settings.index.location}",
            markup=False,
            soft_wrap=True,
        )
