"""Remembers the pipelines that have run on an index, by their settings."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from pathlib import Path

from pydantic import ValidationError

from pipeline.manifest.part_storage import Parts
from pipeline.settings import Settings
from schemas.ids import fingerprint
from schemas.options import Precision
from schemas.pipelines import Pipeline
from workers.labelling.text_file import read_texts
from workers.models.catalog import LOCAL_PREFIX
from workers.models.detectors import is_folder
from workers.segmenters.tuned_scorers import SCORERS

_START = "pipeline-"
_MADE_OF = "made-of-"
_EMBEDDING = "embedding-"
_PRECISION = "precision.json"
_OLDER = "pipelines.json"
"""Older manifests have all of them in this one text."""
# Options that change where or how fast a pipeline runs, not what it makes.
_IRRELEVANT = {
    "segmenter": {
        "device",
        "precision",
        "points_per_batch",
        "images_per_batch",
        "accept_licence",
    },
    "embedder": {"device", "precision", "batch_size", "calibration"},
}


class KnownPipelines:
    """The fingerprints of pipelines that have run on this index, by their settings.

    A fingerprint is known only once the models are loaded; a run that finds nothing to do should
    not load any. Until then the settings, with size and time of the weights' files, stand for the
    models; every run that does load them checks that.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def find(self, settings: Settings) -> str | None:
        """The fingerprint that these settings had when they last ran, if they did."""
        key = _settings_key(settings)
        return self._parts.read_text(_START + key) or self._older().get(key)

    def remember(self, settings: Settings, pipeline: Pipeline) -> None:
        """Keep it for the next run of these settings. Raises what `Parts` raise."""
        # A text each, so that of two processes neither overwrites what the other remembers.
        self._parts.write_text(_START + _settings_key(settings), pipeline.fingerprint)
        self.remember_embedding(settings, pipeline)
        self.describe(pipeline)

    def remember_embedding(self, settings: Settings, pipeline: Pipeline) -> None:
        """Keep what these settings of an embedder make. Raises what `Parts` raise."""
        self._parts.write_text(_EMBEDDING + _embedder_key(settings), pipeline.embedding)

    def find_embedding(self, settings: Settings) -> str | None:
        """What these settings of an embedder made of masks when they last ran, if they did.

        It is a `Pipeline.embedding`.
        """
        return self._parts.read_text(_EMBEDDING + _embedder_key(settings))

    def describe(self, *pipelines: Pipeline) -> None:
        """Keep what their fingerprints stand for. Raises what `Parts` raise."""
        for pipeline in pipelines:
            self._parts.write_text(_MADE_OF + pipeline.fingerprint, pipeline.model_dump_json())

    def look_up(self, fingerprint: str) -> Pipeline | None:
        """The pipeline of a fingerprint; None if it was never described, or not readably."""
        text = self._parts.read_text(_MADE_OF + fingerprint)
        try:
            return None if text is None else Pipeline.model_validate_json(text)
        except ValidationError:
            return None

    def precision(self) -> Precision | None:
        """What the index was begun in; None for one of an older version."""
        text = self._parts.read_text(_PRECISION)
        try:
            return None if text is None else Precision.model_validate_json(text)
        except ValidationError:
            return None

    def keep_precision(self, precision: Precision) -> None:
        """From now on the index goes on in it. Raises what `Parts` raise."""
        if self.precision() != precision:
            self._parts.write_text(_PRECISION, precision.model_dump_json())

    def _older(self) -> dict[str, str]:
        # It only saves work: if it is damaged, the models are loaded instead.
        try:
            known = json.loads(self._parts.read_text(_OLDER) or "{}")
        except ValueError:
            return {}
        return known if isinstance(known, dict) else {}


def _settings_key(settings: Settings) -> str:
    parts: dict[str, object] = {
        "decode": settings.decode.model_dump(mode="json"),
        "segmenter": settings.segmenter.model_dump(mode="json", exclude=_IRRELEVANT["segmenter"]),
        "embedder": settings.embedder.model_dump(mode="json", exclude=_IRRELEVANT["embedder"]),
        "weights": [list(entry) for entry in _weight_files(settings)],
        "version": _version(),
    }
    if settings.text_prompts is not None:
        parts["texts"] = list(read_texts(settings.text_prompts))
        parts["labels"] = settings.labels.model_dump(mode="json")
        parts["list"] = [list(entry) for entry in _stamp([Path(settings.labels.names)])]
    return fingerprint(parts)


def _embedder_key(settings: Settings) -> str:
    parts = {
        "embedder": settings.embedder.model_dump(mode="json", exclude=_IRRELEVANT["embedder"]),
        "weights": [list(entry) for entry in _embedder_files(settings)],
        "version": _version(),
    }
    return fingerprint(parts)


def _weight_files(settings: Settings) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of the local files that the settings name, and of the bundled ones."""
    yield from _embedder_files(settings)
    for named in (settings.segmenter.checkpoint, settings.segmenter.refiners.sam.checkpoint):
        if named is None:
            continue
        checkpoint = Path(named).expanduser()
        yield from _stamp(sorted(checkpoint.iterdir()) if checkpoint.is_dir() else [checkpoint])
    if settings.segmenter.detector is not None and is_folder(settings.segmenter.detector):
        folder = Path(settings.segmenter.detector).expanduser()
        yield from _stamp(sorted(folder.iterdir()) if folder.is_dir() else [folder])
    if settings.segmenter.scorer is not None:
        yield from _stamp([SCORERS.find(settings.segmenter.scorer, settings.cache_dir)])


def _embedder_files(settings: Settings) -> Iterator[tuple[str, int, int]]:
    folders = [Path(str(resources.files("workers.bundled")))]
    if settings.embedder.name.startswith(LOCAL_PREFIX):
        folders.append(Path(settings.embedder.name.removeprefix(LOCAL_PREFIX)).expanduser())
    yield from _stamp(
        [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    )


def _stamp(files: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(path)
            yield str(path), status.st_size, status.st_mtime_ns


def _version() -> str:
    try:
        return metadata.version("objseek")
    except metadata.PackageNotFoundError:
        return ""
