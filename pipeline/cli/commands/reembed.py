"""`objseek reembed` and `objseek generations`: another embedder for an index, and the way back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import EXIT_FAILED, out, user_errors
from pipeline.cli.options import Config, Index, Load, StatePlace, with_settings
from pipeline.cli.run_job import shown
from pipeline.messages import quantify

if TYPE_CHECKING:
    from pipeline.progress import Progress
    from pipeline.settings import Settings

_REEMBED = """Embed every object of an index with another embedder; nothing is segmented again.

Stored masks and the images make a new generation beside the one in use, which is searched until
everything is in the new one; then searches change over, all at once. What was interrupted goes on
where it was. The one before stays until it is dropped: see `objseek generations`.

Images that changed since they were segmented are left to the next ingest. If others fail, nothing
changes over, unless --force. Ingest with the same embedder from then on.

Examples:

    objseek reembed --embedder ViT-L-14/datacomp_xl_s13b_b90k --index photos-index

    objseek reembed --embedder local-dir:./our-clip --index http://qdrant:6333/photos --workers 4
"""
_GENERATIONS = """List the generations of an index; use another one, or drop one.

`objseek reembed` makes them. One is in use: it is searched and written to. To use the one before
is the way back; dropping one frees its space.

Examples:

    objseek generations --index photos-index

    objseek generations --index photos-index --use first

    objseek generations --index photos-index --drop first
"""


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command("reembed", help=_REEMBED)(with_settings(reembed_command))
    app.command("generations", help=_GENERATIONS)(generations_command)


@user_errors
def reembed_command(
    load: Load,
    force: Annotated[
        bool, typer.Option("--force", help="Change over though images could not be embedded.")
    ] = False,
) -> None:
    """The command; its help stands above."""
    from pipeline.jobs.reembed import reembed
    from pipeline.service.delegation import delegate_reembed, find_service
    from schemas.errors import IndexBusyError, UsageError
    from schemas.options import EmbedderOptions

    settings = load()
    embedder, usual = settings.embedder, EmbedderOptions()
    if "name" not in embedder.model_fields_set and embedder.model_dump() == usual.model_dump():
        raise UsageError("expected the embedder to change to, got none: name it with --embedder")

    def work(progress: Progress) -> tuple[str, str | None]:
        """The new generation, and why it is not in use."""
        try:
            summary = reembed(settings, progress, force=force)
        except IndexBusyError:
            service = find_service(settings.index.location)
            if service is None:
                raise
        else:
            return summary.generation, None if summary.switched else summary.why_not
        with service:
            return delegate_reembed(service, settings, progress, force=force).generation or "", None

    progress, (generation, why_not) = shown(
        settings, lambda shown: (shown, work(shown)), segmenting=False
    )
    counts = progress.counts
    out().print(
        f"{quantify(counts.done, 'image')} with {quantify(counts.objects, 'object')} embedded in "
        f"{progress.seconds:.1f} s, {counts.unchanged:,} had been dealt with; {counts.failed:,} "
        f"failed, {counts.gone:,} gone",
        markup=False,
        soft_wrap=True,
    )
    if why_not is not None:
        typer.echo(f"error: {why_not}", err=True)
        raise typer.Exit(EXIT_FAILED)
    _tell_switched(settings, generation)


def _tell_switched(settings: Settings, generation: str) -> None:
    console, location = out(), settings.index.location
    console.print(f"{generation} is in use now", markup=False, soft_wrap=True)
    console.print(
        f"Ingest with --embedder {settings.embedder.name} from now on. "
        f"`objseek generations --index {location}` lists what is kept.",
        markup=False,
        soft_wrap=True,
    )


@user_errors
def generations_command(
    index: Index = None,
    use_name: Annotated[
        str | None, typer.Option("--use", help="Search this one and write to it from now on.")
    ] = None,
    drop_name: Annotated[
        str | None, typer.Option("--drop", help="Remove this one for good.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    state: StatePlace = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.index_home import drop_generation, use_generation
    from pipeline.settings import load_settings

    settings = load_settings(config, {"index": {"location": index, "state": state}})
    if use_name is not None:
        use_generation(settings, use_name)
    if drop_name is not None:
        drop_generation(settings, drop_name)
    _list(settings, as_json=as_json)


def _list(settings: Settings, *, as_json: bool) -> None:
    from dataclasses import asdict

    from pipeline.index_home import list_generations
    from schemas.errors import IndexMissingError

    found = list_generations(settings)
    if not found:
        raise IndexMissingError(f"expected an index at {settings.index.location!r}, there is none")
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        used = "in use" if one.current else ""
        line = f"{one.name:<{width}}  {used:<6}  {quantify(one.images, 'image')} done"
        if not one.current:
            line += f"  {one.location}"
        out().print(line, markup=False, soft_wrap=True)
