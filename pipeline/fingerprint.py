"""What a pipeline is known by: everything that decides which vectors an image gets."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

from pipeline.settings import Settings
from schemas.errors import IndexUnavailableError
from schemas.ids import fingerprint
from schemas.options import DecodeOptions, EmbedderOptions
from workers.catalog import LOCAL_PREFIX
from workers.protocols import ImageEmbedder, Segmenter

_FILE = "pipelines.json"
# They change where or how fast it runs, not what comes out.
_NO_MATTER = {
    "segmenter": {"device", "precision", "points_per_batch", "images_per_batch"},
    "embedder": {"device", "precision", "batch_size"},
}


def pipeline_fingerprint(
    segmenter: Segmenter, embedder: ImageEmbedder, decode: DecodeOptions, options: EmbedderOptions
) -> str:
    """16 hex digits over both models, their parameters, and how images become crops."""
    return fingerprint(
        {
            "segmenter": segmenter.fingerprint,
            "embedder": embedder.fingerprint,
            "views": options.views,
            "context_margin": options.context_margin,
            "cutout_fill": options.cutout_fill,
            "decode": decode.model_dump(mode="json"),
        }
    )


class KnownPipelines:
    """The fingerprints of pipelines that have run on this index, by their settings.

    Models have to be loaded to know their fingerprint; a run that finds nothing to do should not
    load any. The settings stand for the models together with size and time of the weights' files,
    and every run that does load them holds the two against each other.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def find(self, settings: Settings) -> str | None:
        """The fingerprint that these settings had when they last ran, if they did."""
        found = self._read().get(_settings_key(settings))
        return found if isinstance(found, str) else None

    def remember(self, settings: Settings, pipeline: str) -> None:
        """Keep it for the next run. Raises IndexUnavailableError if the folder cannot be used."""
        known = {**self._read(), _settings_key(settings): pipeline}
        unfinished = self._path.with_name(f".{_FILE}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(known, indent=1))
            unfinished.replace(self._path)
        except OSError as exc:
            raise IndexUnavailableError(
                f"the folder {self._path.parent} cannot be written: {exc.strerror}"
            ) from exc

    def _read(self) -> dict[str, object]:
        # It only saves work: whatever is wrong with it, the models are loaded instead.
        try:
            known = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _settings_key(settings: Settings) -> str:
    parts = {
        "decode": settings.decode.model_dump(mode="json"),
        "segmenter": settings.segmenter.model_dump(mode="json", exclude=_NO_MATTER["segmenter"]),
        "embedder": settings.embedder.model_dump(mode="json", exclude=_NO_MATTER["embedder"]),
        "weights": [list(entry) for entry in _weight_files(settings)],
        "version": _version(),
    }
    return fingerprint(parts)


def _weight_files(settings: Settings) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of the local files that the settings name, and of the bundled ones."""
    folders = [Path(str(resources.files("workers.bundled")))]
    if settings.embedder.name.startswith(LOCAL_PREFIX):
        folders.append(Path(settings.embedder.name.removeprefix(LOCAL_PREFIX)).expanduser())
    files = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    if settings.segmenter.checkpoint is not None:
        files.append(Path(settings.segmenter.checkpoint).expanduser())
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(path)
            yield str(path), status.st_size, status.st_mtime_ns


def _version() -> str:
    try:
        return metadata.version("objseek")
    except metadata.PackageNotFoundError:
        return ""
