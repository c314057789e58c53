"""Which pipelines have run on an index, and by what they are known."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

from pydantic import ValidationError

from pipeline.manifest.part_storage import Parts
from pipeline.settings import Settings
from schemas.ids import fingerprint
from schemas.pipelines import Pipeline
from workers.models.catalog import LOCAL_PREFIX

_START = "pipeline-"
_MADE_OF = "made-of-"
_OLDER = "pipelines.json"
"""In which they stood together."""
# They change where or how fast it runs, not what comes out.
_NO_MATTER = {
    "segmenter": {"device", "precision", "points_per_batch", "images_per_batch"},
    "embedder": {"device", "precision", "batch_size"},
}


class KnownPipelines:
    """The fingerprints of pipelines that have run on this index, by their settings.

    Models have to be loaded to know their fingerprint; a run that finds nothing to do should not
    load any. The settings stand for the models together with size and time of the weights' files,
    and every run that does load them holds the two against each other.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def find(self, settings: Settings) -> str | None:
        """The fingerprint that these settings had when they last ran, if they did."""
        key = _settings_key(settings)
        return self._parts.read_text(_START + key) or self._older().get(key)

    def remember(self, settings: Settings, pipeline: Pipeline) -> None:
        """Keep it for the next run of these settings. Raises what `Parts` raise."""
        # One file for each, so that two who remember at once forget nothing.
        self._parts.write_text(_START + _settings_key(settings), pipeline.fingerprint)
        self.describe(pipeline)

    def describe(self, *pipelines: Pipeline) -> None:
        """Keep what their fingerprints stand for. Raises what `Parts` raise."""
        for pipeline in pipelines:
            self._parts.write_text(_MADE_OF + pipeline.fingerprint, pipeline.model_dump_json())

    def look_up(self, fingerprint: str) -> Pipeline | None:
        """What a fingerprint stands for; None if it was never described, or not so."""
        text = self._parts.read_text(_MADE_OF + fingerprint)
        try:
            return None if text is None else Pipeline.model_validate_json(text)
        except ValidationError:
            return None

    def _older(self) -> dict[str, str]:
        # It only saves work: whatever is wrong with it, the models are loaded instead.
        try:
            known = json.loads(self._parts.read_text(_OLDER) or "{}")
        except ValueError:
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
