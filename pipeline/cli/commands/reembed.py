"""`objseek reembed` and `objseek generations`: another embedder for an index, and the way back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.console import EXIT_FAILED, out, print_line, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CONFIG, INDEX, INGEST_OPTIONS, STATE
from pipeline.cli.output_options import AsJson, DryRun
from pipeline.cli.shared_options import Load, add_options
from pipeline.messages import quantify
from schemas.errors import IndexMissingError, UsageError

with lazy_imports():
    import pipeline.progress
    import pipeline.settings
    import schemas.options
    from pipeline import index_home
    from pipeline.cli import forecast_output, run_job, service_fallback
    from pipeline.jobs import reembed, reembed_forecast
    from pipeline.service import delegation

_REEMBED = """Embed every object of an index with another embedder; nothing is segmented again.

Stored masks and the images make a new generation beside the one in use. Searches use the old one
until everything is in the new one; then they switch over, all at once. An interrupted run continues
where it stopped. The old generation stays until it is dropped: see `objseek generations`.

Images that changed since they were segmented are left to the next ingest. If others fail, searches
do not switch over, unless --force is given. Ingest with the same embedder from then on.

Examples:

    objseek reembed --embedder ViT-L-14/datacomp_xl_s13b_b90k --index photos-index

    objseek reembed --embedder local-dir:./our-clip --index http://qdrant:6333/photos --workers 4
"""
_GENERATIONS = """List the generations of an index; use another one, or drop one.

`objseek reembed` makes them. One is in use: it is searched and written to. Using the previous one
again is the way back; dropping one frees its space.

Examples:

    objseek generations --index photos-index

    objseek generations --index photos-index --use first

    objseek generations --index photos-index --drop first
"""


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command("reembed", help=_REEMBED)(reembed_command)
    app.command("generations", help=_GENERATIONS)(generations_command)


@add_options(*INGEST_OPTIONS)
@user_errors
def reembed_command(
    load: Load,
    force: Annotated[
        bool,
        typer.Option("--force", help="Switch over even if images could not be embedded."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    embedder, usual = settings.embedder, schemas.options.EmbedderOptions()
    if "name" not in embedder.model_fields_set and embedder.model_dump() == usual.model_dump():
        raise UsageError("expected the embedder to change to, got none: name it with --embedder")
    if dry_run:
        run_job.check_models(settings, segmenting=False)
        forecast_output.print_reembed(reembed_forecast.forecast_reembed(settings), as_json=as_json)
        return
    progress, (generation, why_not) = run_job.run_with_progress(
        settings,
        lambda progress: (progress, _reembed(settings, progress, force=force)),
        segmenting=False,
    )
    counts = progress.counts
    if as_json:
        fields = counts.model_dump(exclude={"all_listed"})
        result = {**fields, "seconds": progress.seconds, "generation": generation}
        typer.echo(json.dumps({**result, "in_use": why_not is None}, indent=2))
        if why_not is not None:
            raise typer.Exit(EXIT_FAILED)
        return
    print_line(
        out(),
        f"{quantify(counts.done, 'image')} with {quantify(counts.objects, 'object')} embedded in "
        f"{progress.seconds:.1f} s, {counts.unchanged:,} done before; {counts.failed:,} "
        f"failed, {counts.gone:,} gone",
    )
    if why_not is not None:
        typer.echo(f"error: {why_not}", err=True)
        raise typer.Exit(EXIT_FAILED)
    print_line(out(), f"{generation} is in use now")
    print_line(
        out(),
        f"Ingest with --embedder {settings.embedder.name} from now on. "
        f"`objseek generations --index {settings.index.location}` lists what is kept.",
    )


def _reembed(
    settings: pipeline.settings.Settings, progress: pipeline.progress.Progress, *, force: bool
) -> tuple[str, str | None]:
    """The new generation, and why it is not in use."""

    def run() -> tuple[str, str | None]:
        summary = reembed.reembed(settings, progress, force=force)
        return summary.generation, None if summary.switched else summary.why_not

    return service_fallback.run_or_delegate(
        settings.index.location,
        run,
        lambda service: (
            delegation.delegate_reembed(service, settings, progress, force=force).generation or "",
            None,
        ),
    )


@add_options(INDEX, STATE, CONFIG)
@user_errors
def generations_command(
    load: Load,
    use_name: Annotated[
        str | None, typer.Option("--use", help="Search and write to this one from now on.")
    ] = None,
    drop_name: Annotated[
        str | None, typer.Option("--drop", help="Remove this one for good.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    if use_name is not None:
        index_home.use_generation(settings, use_name)
    if drop_name is not None:
        index_home.drop_generation(settings, drop_name)
    generations = index_home.list_generations(settings)
    if not generations:
        raise IndexMissingError(f"expected an index at {settings.index.location!r}, there is none")
    if as_json:
        typer.echo(json.dumps([asdict(generation) for generation in generations], indent=2))
        return
    width = max(len(generation.name) for generation in generations)
    for generation in generations:
        used = "in use" if generation.current else ""
        images = f"{quantify(generation.images, 'image')} done"
        line = f"{generation.name:<{width}}  {used:<6}  {images}"
        if not generation.current:
            line += f"  {generation.location}"
        print_line(out(), line)
