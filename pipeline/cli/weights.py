"""Fetches the weights of models, with a bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pipeline.cli.verbosity import is_quiet
from schemas.errors import ModelError, UsageError
from schemas.options import SegmenterOptions, VideoOptions
from workers.models import catalog, hub, open_clip_names
from workers.models.download import Report
from workers.models.grounded_options import ask_for_weights, list_fetched
from workers.models.model_entry import ModelEntry
from workers.models.propagator_options import list_fetched_propagators
from workers.models.refiner_options import list_fetched_sams
from workers.models.weights import cache_folder, fetch, no_report, sha256_of


def fetch_model(name: str, cache: Path | None, console: Console) -> Path:
    """Path of the weights `name`, fetched with progress on `console` where they are not cached.

    Raises UnknownModelError, ModelError, DownloadError.
    """
    entry = next((entry for entry in catalog.CATALOG if entry.name == name), None)
    if entry is None and "/" not in name:
        raise catalog.unknown_model(name, "model", catalog.names())
    if entry is None:
        open_clip_names.check_name(name)
    if entry is None or entry.source == "open_clip":
        # It imports torch, which takes 3 s.
        from workers.embedders import openclip

        return openclip.fetch(name)
    if entry.source == "none":
        raise UsageError(f"{name} has no weights")
    if entry.source == "user":
        raise UsageError(ask_for_weights(entry))
    if entry.source == "hub":
        return _fetch_hub_model(entry, cache, console)
    if entry.source == "bundled":
        path = catalog.bundled_path(entry)
        if not path.is_file():
            raise ModelError(f"this installation of objseek is incomplete: {path} is missing")
        return path
    cached = cached_file(entry, cache)
    if cached is not None and not sha256_of(cached).startswith(entry.sha256):
        cached.unlink()
        cached = None
    if cached is not None:
        return cached
    with _show_download(name, console) as report:
        return fetch(entry, cache, report)


def check_model_licence(name: str, is_accepted: bool) -> None:
    """Raise UsageError where the weights `name` are not free for every use, unless accepted."""
    entry = next((entry for entry in catalog.CATALOG if entry.name == name), None)
    if entry is not None and entry.restriction and not is_accepted:
        raise UsageError(
            f"the weights of {name} are {entry.restriction}: --accept-licence says that you "
            "accept it"
        )


def _fetch_hub_model(entry: ModelEntry, cache: Path | None, console: Console) -> Path:
    for path in hub.list_checked(entry, cache):
        try:
            hub.verify_file(path, entry)
        except ModelError:
            path.unlink()
    if hub.cached_weights(entry, cache) is not None:
        return hub.hub_folder(entry, cache)
    with _show_download(entry.name, console) as report:
        return hub.fetch_from_hub(entry, cache, report)


def fetch_segmenter(
    options: SegmenterOptions, cache: Path | None, console: Console, *, for_texts: bool = False
) -> None:
    """Fetch the official weights of a segmenter, with progress, unless they are cached.

    Also those of the SAM that refines masks, and with `for_texts` those of the detector that looks
    for texts in single images, if they are named. A worker would fetch them as well, but nobody
    would see how far it is. Raises
    UnknownModelError, UsageError, ModelError, DownloadError.
    """
    _fetch_all(list_fetched(options, for_texts=for_texts), cache, console)
    _fetch_all(list_fetched_sams(options), cache, console)


def fetch_propagator(
    video: VideoOptions, options: SegmenterOptions, cache: Path | None, console: Console
) -> None:
    """As `fetch_segmenter`, those of the video model that carries masks between frames."""
    _fetch_all(list_fetched_propagators(video, options), cache, console)


def _fetch_all(entries: list[ModelEntry], cache: Path | None, console: Console) -> None:
    for entry in entries:
        if cached_file(entry, cache) is None:
            fetch_model(entry.name, cache, console)


def cached_file(entry: ModelEntry, cache: Path | None) -> Path | None:
    """The file of fetched weights, if it is there."""
    if entry.source == "hub":
        return hub.cached_weights(entry, cache)
    path = cache_folder(cache) / entry.file_name
    return path if path.is_file() else None


@contextmanager
def _show_download(name: str, console: Console) -> Iterator[Report]:
    """A progress bar on a terminal; otherwise a line at the start and after every tenth.

    With --quiet neither.
    """
    if is_quiet():
        yield no_report
        return
    if not console.is_terminal:
        yield _plain_report(name, console)
        return
    columns = (
        TextColumn(name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(name, total=None)

        def report(done_bytes: int, total_bytes: int | None) -> None:
            bars.update(task, completed=done_bytes, total=total_bytes)

        yield report


def _plain_report(name: str, console: Console) -> Report:
    last_tenth = -1

    def report(done_bytes: int, total_bytes: int | None) -> None:
        nonlocal last_tenth
        tenth = 10 * done_bytes // total_bytes if total_bytes else done_bytes // 100_000_000
        if tenth != last_tenth:
            last_tenth = tenth
            total = f" of {format_size(total_bytes)}" if total_bytes else ""
            console.print(f"{name}: {format_size(done_bytes)}{total}", soft_wrap=True)

    return report


def format_size(size_bytes: int | None) -> str:
    """`375 MB`, `2.56 GB`; empty if the size is unknown."""
    if size_bytes is None:
        return ""
    if size_bytes >= 1_000_000_000:
        return f"{size_bytes / 1e9:.2f} GB"
    if size_bytes >= 10_000_000:
        return f"{size_bytes / 1e6:.0f} MB"
    return f"{size_bytes / 1e6:.1f} MB"
