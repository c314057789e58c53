"""`objseek ingest`: make the images of a bucket or folder searchable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.console import EXIT_FAILED, err, out, printable, user_errors

if TYPE_CHECKING:
    from pipeline.ingest import IngestSummary
    from pipeline.progress import Counts
    from pipeline.settings import Settings

_HELP = """Segment every image, embed every object, and write both to the index.

What an earlier run has done is left alone, so an interrupted run goes on where it stopped.

Examples:

    objseek ingest s3://photos/2026/ --index photos-index --workers 4

    objseek ingest s3://public-bucket --anonymous --include '*.jpg' --limit 1000

    objseek ingest ~/Pictures --segmenter sam_vit_b --embedder ViT-B-32/laion2b_s34b_b79k

    objseek ingest s3://photos --endpoint-url http://minio:9000 --index http://qdrant:6333/photos
"""
_STORE = "Object store"
_MODELS = "Models"
_RUN = "How it runs"

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="s3://bucket/prefix, a folder, a file or a glob."),
]
Index = Annotated[
    str | None,
    typer.Option(help="A folder, or http(s)://host:6333/collection.", show_default="objseek-index"),
]
Config = Annotated[
    Path | None,
    typer.Option(
        envvar="OBJSEEK_CONFIG",
        help="A TOML file of settings. Variables OBJSEEK_SECTION__KEY stand above it, options "
        "above both.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Stop after so many images.")]
EndpointUrl = Annotated[
    str | None, typer.Option(help="Of an S3 store that is not AWS.", rich_help_panel=_STORE)
]
Profile = Annotated[str | None, typer.Option(help="AWS profile.", rich_help_panel=_STORE)]
Anonymous = Annotated[
    bool | None,
    typer.Option("--anonymous/--signed", help="Without credentials.", rich_help_panel=_STORE),
]
RequesterPays = Annotated[
    bool | None,
    typer.Option(
        "--requester-pays/--owner-pays", help="Pay for the requests.", rich_help_panel=_STORE
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        help="Only images whose whole key (a file: absolute path) matches this pattern, such as "
        "'*/2026/*.jpg' (again for more).",
        rich_help_panel=_STORE,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="No keys that match this pattern (again for more).", rich_help_panel=_STORE),
]
SegmenterName = Annotated[
    str | None,
    typer.Option(
        "--segmenter",
        help="See `objseek models`.",
        show_default="sam_demo",
        rich_help_panel=_MODELS,
    ),
]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="clip_demo, architecture/pretrained of open_clip, or local-dir:FOLDER.",
        show_default="clip_demo",
        rich_help_panel=_MODELS,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"] | None,
    typer.Option(help="For both models.", show_default="auto", rich_help_panel=_MODELS),
]
Preset = Annotated[
    Literal["fast", "balanced", "thorough"] | None,
    typer.Option(
        help="How closely to look: fast misses small objects, thorough takes some times as long.",
        show_default="balanced",
        rich_help_panel=_MODELS,
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"] | None,
    typer.Option(
        help="For both models; auto: bf16 where it is faster.",
        show_default="auto",
        rich_help_panel=_MODELS,
    ),
]
RunnerName = Annotated[
    Literal["ray", "local"] | None,
    typer.Option(
        "--runner", help="local: all in one process.", show_default="ray", rich_help_panel=_RUN
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that run the models.", show_default="1", rich_help_panel=_RUN),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Images in a chunk.", show_default="8", rich_help_panel=_RUN)
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="A Ray cluster that runs already; auto finds it.", rich_help_panel=_RUN),
]


def register(app: typer.Typer) -> None:
    """Add `ingest` to the command line."""
    app.command("ingest", help=_HELP)(ingest_command)


@user_errors
def ingest_command(
    sources: Sources,
    index: Index = None,
    config: Config = None,
    limit: Limit = None,
    segmenter: SegmenterName = None,
    embedder: EmbedderName = None,
    device: Device = None,
    preset: Preset = None,
    precision: Precision = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    anonymous: Anonymous = None,
    requester_pays: RequesterPays = None,
    include: Include = None,
    exclude: Exclude = None,
    runner: RunnerName = None,
    workers: Workers = None,
    batch_size: BatchSize = None,
    ray_address: RayAddress = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.settings import load_settings

    overrides = {
        "store": {
            "endpoint_url": endpoint_url,
            "profile": profile,
            "anonymous": anonymous,
            "requester_pays": requester_pays,
            "include": include or None,
            "exclude": exclude or None,
        },
        "segmenter": {
            "name": segmenter,
            "device": device,
            "preset": preset,
            "precision": precision,
        },
        "embedder": {"name": embedder, "device": device, "precision": precision},
        "index": {"location": index},
        "runner": {
            "name": runner,
            "workers": workers,
            "batch_size": batch_size,
            "ray_address": ray_address,
        },
        "limit": limit,
    }
    _run(sources, load_settings(config, overrides))


def _run(sources: list[str], settings: Settings) -> None:
    from pipeline.commands.models import fetch_segmenter
    from pipeline.ingest import ingest
    from pipeline.progress import show_progress

    if settings.segmenter.checkpoint is None and settings.runner.ray_address is None:
        fetch_segmenter(settings.segmenter.name, err())
    progress = show_progress(err())
    try:
        summary = ingest(sources, settings, progress)
    except KeyboardInterrupt:
        counts = progress.counts
        typer.echo(
            f"{counts.done:,} images are written to {settings.index.location}; "
            "the same command goes on from here.",
            err=True,
        )
        raise
    _print(summary, settings)
    if summary.counts.failed:
        raise typer.Exit(EXIT_FAILED)


def _print(summary: IngestSummary, settings: Settings) -> None:
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
        _print_rejected_before(settings.index.location)
    _print_empty(counts)
    _print_failures(counts, settings)


def _print_empty(counts: Counts) -> None:
    from workers.stores import EMPTY

    console, listing = out(), counts.listing
    for uri in listing.empty:
        console.print(f"skipped, {EMPTY}: {printable(uri)}", markup=False, soft_wrap=True)
    if more := listing.skipped[EMPTY] - len(listing.empty):
        console.print(f"and {more:,} more of {EMPTY}")


def _print_rejected_before(location: str) -> None:
    from pipeline.manifest import Manifest, manifest_folder
    from schemas.manifest import State

    if rejected := Manifest(manifest_folder(location)).counts()[State.REJECTED]:
        told = "image was rejected" if rejected == 1 else "images were rejected"
        typer.echo(f"{rejected:,} {told} as bad input: objseek failures --index {location}")


_SHOWN = ("listed", "unchanged", "done", "rejected", "failed", "gone", "objects")


def _print_failures(counts: Counts, settings: Settings) -> None:
    console = out()
    for failure in counts.shown:
        state = "rejected" if failure.rejected else "gone" if failure.gone else "failed"
        line = f"{state}: {printable(failure.message)}"
        console.print(line, markup=False, soft_wrap=True)
    total = counts.rejected + counts.failed + counts.gone
    if total > len(counts.shown):
        console.print(
            f"and {total - len(counts.shown):,} more: "
            f"objseek failures --index {settings.index.location}",
            markup=False,
            soft_wrap=True,
        )
