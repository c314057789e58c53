"""`objseek models`: what can be named, what is cached; `objseek models pull`: fetch it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import err, out, user_errors
from pipeline.cli.weights import cached_file, fetch_model, megabytes

if TYPE_CHECKING:
    from rich.console import Console

    from workers.models.catalog import ModelEntry

_HELP = """List models, or fetch their weights.

Examples:

    objseek models --all

    objseek models pull sam_vit_b
"""
_COLUMNS = ("name", "kind", "size", "licence", "weights", "about")


def register(app: typer.Typer) -> None:
    """Add `models` and `models pull` to the command line."""
    models = typer.Typer(no_args_is_help=False)
    models.callback(invoke_without_command=True)(user_errors(list_models))
    models.command("pull")(user_errors(pull))
    app.add_typer(models, name="models", help=_HELP)


def _cache_dir() -> Path | None:
    """The folder for fetched weights that the settings name, if they do."""
    from pipeline.settings import load_settings

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
    from workers.models.catalog import CATALOG
    from workers.models.weights import cache_folder

    console = out()
    _print_rows(console, [_row(entry) for entry in CATALOG])
    notes = [
        f"Fetched weights are kept in {cache_folder(_cache_dir())}, those of open_clip in its own "
        "cache.",
        "Any open_clip architecture/pretrained can be named (objseek models --all lists them), and "
        "local-dir:FOLDER.",
    ]
    for note in notes:
        typer.echo(note)
    if everything:
        import open_clip

        for architecture, tag in open_clip.list_pretrained():
            typer.echo(f"{architecture}/{tag}")


def pull(
    name: Annotated[str, typer.Argument(help="A name that `objseek models` lists.")],
) -> None:
    """Fetch the weights of a model into the cache, going on where an earlier try stopped."""
    path = fetch_model(name, _cache_dir(), err())
    typer.echo(f"{name}: {path}")


def _row(entry: ModelEntry) -> tuple[str, ...]:
    weights, size_bytes = _state(entry)
    size = megabytes(size_bytes)
    return entry.name, entry.kind, size, entry.licence, weights, entry.about


def _state(entry: ModelEntry) -> tuple[str, int | None]:
    """Where the weights are, and their size in bytes if it is known."""
    from workers.models.catalog import bundled_path
    from workers.models.weights import cache_folder

    if entry.source == "bundled":
        path = bundled_path(entry)
        return ("bundled", path.stat().st_size) if path.is_file() else ("missing", None)
    if entry.source == "open_clip":
        return ("cached" if _in_hub_cache(entry) else "-"), entry.size_bytes
    if cached_file(entry, _cache_dir()) is not None:
        return "cached", entry.size_bytes
    partial = cache_folder(_cache_dir()) / f"{entry.file_name}.partial"
    return ("begun" if partial.is_file() else "-"), entry.size_bytes


def _in_hub_cache(entry: ModelEntry) -> bool:
    from huggingface_hub import try_to_load_from_cache

    files = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(entry.hub_repo, file), str) for file in files)


def _print_rows(console: Console, rows: list[tuple[str, ...]]) -> None:
    if console.is_terminal:
        from rich.table import Table

        table = Table(*_COLUMNS)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
