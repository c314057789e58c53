"""Fetches the weights of models, with a bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from workers.models.catalog import ModelEntry
    from workers.models.download import Report


def fetch_model(name: str, cache: Path | None, console: Console) -> Path:
    """Path of the weights `name`, fetched with progress on `console` where they are not cached.

    Raises UnknownModelError, ModelError, DownloadError.
    """
    from schemas.errors import ModelError
    from workers.models.catalog import CATALOG, bundled_path, names, unknown_model
    from workers.models.weights import fetch, sha256_of

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
    cached = cached_file(entry, cache)
    if cached is not None and sha256_of(cached) != entry.sha256:
        cached.unlink()
        cached = None
    if cached is not None:
        return cached
    with _progress(name, console) as report:
        return fetch(entry, cache, report)


def fetch_segmenter(name: str, cache: Path | None, console: Console) -> None:
    """Fetch the official weights of a segmenter, with progress, unless they are cached.

    A worker would fetch them as well, but nobody would see how far it is. Raises
    UnknownModelError, ModelError, DownloadError.
    """
    from workers.models.catalog import find

    entry = find(name, "segmenter")
    if entry.source == "official" and cached_file(entry, cache) is None:
        fetch_model(name, cache, console)


def cached_file(entry: ModelEntry, cache: Path | None) -> Path | None:
    from workers.models.weights import cache_folder

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
