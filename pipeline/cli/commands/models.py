"""`objseek models`: what can be named, what is cached; `objseek models pull`: fetch it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import huggingface_hub
import typer

from pipeline.cli.console import err, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.model_names import complete_model
from pipeline.cli.tables import print_rows
from pipeline.cli.weights import cached_file, check_model_licence, fetch_model, format_size
from pipeline.settings import load_settings
from workers.models import catalog, hub, open_clip_names
from workers.models.model_entry import ModelEntry
from workers.models.weights import cache_folder
from workers.segmenters.tuned_scorers import list_scorers

with lazy_imports():
    from workers.labelling import tuned_calibrations

_HELP = """List models, or fetch their weights.

Examples:

    objseek models --all

    objseek models pull sam_vit_b
"""
_COLUMNS = ("name", "kind", "size", "licence", "weights", "about")


def register(app: typer.Typer) -> None:
    """Add `models` and `models pull` to the command line."""
    models = typer.Typer(no_args_is_help=False)
    models.callback(invoke_without_command=True)(list_models)
    models.command("pull")(pull)
    app.add_typer(models, name="models", help=_HELP)


@user_errors
def _cache_dir() -> Path | None:
    """The folder for fetched weights that the settings name, if they do."""
    config = os.environ.get("OBJSEEK_CONFIG")
    return load_settings(Path(config) if config else None, {}).cache_dir


def list_models(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="List every architecture/pretrained of open_clip too.")
    ] = False,
) -> None:
    """List the models that can be named: their size, licence, and whether they are cached."""
    if context.invoked_subcommand is not None:
        return
    print_rows(_COLUMNS, [_row(entry) for entry in catalog.CATALOG])
    typer.echo(
        f"Fetched weights are kept in {cache_folder(_cache_dir())}, those of open_clip in its own "
        "cache."
    )
    for licence, restriction in _restrictions().items():
        typer.echo(f"Weights under {licence} are {restriction}: they need --accept-licence.")
    typer.echo(
        "Any open_clip architecture/pretrained can be named (objseek models --all lists them), and "
        "local-dir:FOLDER."
    )
    if scorers := list_scorers(_cache_dir()):
        typer.echo(f"Scorers of points that `objseek tune` has kept: {', '.join(scorers)}.")
    if calibrations := tuned_calibrations.CALIBRATIONS.list_names(_cache_dir()):
        typer.echo(f"Calibrations that `objseek tune --truth` has kept: {', '.join(calibrations)}.")
    if everything:
        for name in open_clip_names.list_names():
            typer.echo(name)


def _restrictions() -> dict[str, str]:
    """What weights may be used for that are not free for every use, by their licence."""
    return {entry.licence: entry.restriction for entry in catalog.CATALOG if entry.restriction}


@user_errors
def pull(
    name: Annotated[
        str,
        typer.Argument(help="A name that `objseek models` lists.", autocompletion=complete_model),
    ],
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-licence",
            help="Say that you accept a licence that does not allow every use.",
        ),
    ] = False,
) -> None:
    """Fetch the weights of a model into the cache, continuing where an earlier try stopped."""
    check_model_licence(name, accept_licence)
    path = fetch_model(name, _cache_dir(), err())
    typer.echo(f"{name}: {path}")


def _row(entry: ModelEntry) -> tuple[str, ...]:
    weights, size_bytes = _find_weights(entry)
    size = format_size(size_bytes)
    return entry.name, entry.kind, size, entry.licence, weights, entry.about


def _find_weights(entry: ModelEntry) -> tuple[str, int | None]:
    """Where the weights are, and their size in bytes if it is known."""
    if entry.source == "bundled":
        path = catalog.bundled_path(entry)
        return ("bundled", path.stat().st_size) if path.is_file() else ("missing", None)
    if entry.source in ("none", "user"):
        return ("none" if entry.source == "none" else "yours"), entry.size_bytes
    if entry.source == "open_clip":
        return ("cached" if _is_in_hub_cache(entry) else "-"), entry.size_bytes
    if cached_file(entry, _cache_dir()) is not None:
        return "cached", entry.size_bytes
    folder, file_name = cache_folder(_cache_dir()), entry.file_name
    if entry.source == "hub":
        folder, file_name = hub.hub_folder(entry, _cache_dir()), hub.WEIGHTS[0]
    partial = folder / f"{file_name}.partial"
    return ("begun" if partial.is_file() else "-"), entry.size_bytes


def _is_in_hub_cache(entry: ModelEntry) -> bool:
    files = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return any(
        isinstance(huggingface_hub.try_to_load_from_cache(entry.hub_repo, file), str)
        for file in files
    )
