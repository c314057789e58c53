"""`objseek models`: what can be named, what is cached; `objseek models pull`: fetch it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.console import err, out, user_errors

if TYPE_CHECKING:
    from rich.console import Console

    from workers.catalog import ModelEntry
    from workers.download import Report

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


def cache_dir() -> Path | None:
    """The folder for fetched weights that the environment names, if it does."""
    folder = os.environ.get("OBJSEEK_CACHE_DIR")
    return Path(folder).expanduser() if folder else None


def list_models(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="List every architecture/pretrained of open_clip too.")
    ] = False,
) -> None:
    """List the models that can be named: their size, licence, and whether they are cached."""
    if context.invoked_subcommand is not None:
        return
    from workers.catalog import CATALOG
    from workers.weights import cache_folder

    console = out()
    _print_rows(console, [_row(entry) for entry in CATALOG])
    notes = [
        f"Fetched weights are kept in {cache_folder(cache_dir())}, those of open_clip in its own "
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
    path = fetch_model(name, cache_dir(), err())
    typer.echo(f"{name}: {path}")


def fetch_model(name: str, cache: Path | None, console: Console) -> Path:
    """Path of the weights `name`, fetched with progress on `console` where they are not cached.

    Raises UnknownModelError, ModelError, DownloadError.
    """
    from schemas.errors import ModelError
    from workers.catalog import CATALOG, bundled_path, names, unknown_model
    from workers.weights import fetch, sha256_of

    entry = next((entry for entry in CATALOG if entry.name == name), None)
    if entry is None and "/" not in name:
        raise unknown_model(name, "model", names())
    if entry is None or entry.source == "open_clip":
        from workers.embedders import openclip

        return openclip.fetch(name)
    if entry.source == "bundled":
        path = bundled_path(entry)
        if not path.is_file():
            raise ModelError(f"this installation of objseek is incomplete: {path} is missing")
        return path
    cached = _cached_file(entry, cache)
    if cached is not None and sha256_of(cached) != entry.sha256:
        cached.unlink()
        cached = None
    if cached is not None:
        return cached
    with _progress(name, console) as report:
        return fetch(entry, cache, report)


def fetch_segmenter(name: str, console: Console) -> None:
    """Fetch the official weights of a segmenter, with progress, unless they are cached.

    A worker would fetch them as well, but nobody would see how far it is. Raises
    UnknownModelError, ModelError, DownloadError.
    """
    from workers.catalog import find

    entry = find(name, "segmenter")
    if entry.source == "official" and _cached_file(entry, cache_dir()) is None:
        fetch_model(name, cache_dir(), console)


def _cached_file(entry: ModelEntry, cache: Path | None) -> Path | None:
    from workers.weights import cache_folder

    path = cache_folder(cache) / entry.file_name
    return path if path.is_file() else None


@contextmanager
def _progress(name: str, console: Console) -> Iterator[Report]:
    """A progress bar on a terminal; otherwise a line at the start and after every tenth."""
    if not console.is_terminal:
        yield _plain_report(name, console)
        return

    from rich import progress as bars

    columns = (bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    with bars.Progress(
        bars.TextColumn(name), bars.BarColumn(), *columns, console=console
    ) as progress:
        task = progress.add_task(name, total=None)

        def report(done_bytes: int, total_bytes: int | None) -> None:
            progress.update(task, completed=done_bytes, total=total_bytes)

        yield report


def _plain_report(name: str, console: Console) -> Report:
    told = -1

    def report(done_bytes: int, total_bytes: int | None) -> None:
        nonlocal told
        tenth = 10 * done_bytes // total_bytes if total_bytes else done_bytes // 100_000_000
        if tenth != told:
            told = tenth
            of = f" of {megabytes(total_bytes)}" if total_bytes else ""
            console.print(f"{name}: {megabytes(done_bytes)}{of}", soft_wrap=True)

    return report


def megabytes(size_bytes: int | None) -> str:
    """`375 MB`, `2.56 GB`; empty if the size is unknown."""
    if size_bytes is None:
        return ""
    if size_bytes >= 1_000_000_000:
        return f"{size_bytes / 1e9:.2f} GB"
    return (
        f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 10_000_000 else f"{size_bytes / 1e6:.1f} MB"
    )


def _row(entry: ModelEntry) -> tuple[str, ...]:
    weights, size_bytes = _state(entry)
    size = megabytes(size_bytes)
    return entry.name, entry.kind, size, entry.licence, weights, entry.about


def _state(entry: ModelEntry) -> tuple[str, int | None]:
    """Where the weights are, and their size in bytes if it is known."""
    from workers.catalog import bundled_path
    from workers.weights import cache_folder

    if entry.source == "bundled":
        path = bundled_path(entry)
        return ("bundled", path.stat().st_size) if path.is_file() else ("missing", None)
    if entry.source == "open_clip":
        return ("cached" if _in_hub_cache(entry) else "-"), entry.size_bytes
    if _cached_file(entry, cache_dir()) is not None:
        return "cached", entry.size_bytes
    partial = cache_folder(cache_dir()) / f"{entry.file_name}.partial"
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
