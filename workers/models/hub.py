"""Fetches models of the Hugging Face hub: their weights, verified, with what describes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError

from schemas.errors import DownloadError, ModelError, first_line
from workers.durable_files import replace_file
from workers.models.download import Report, download
from workers.models.model_entry import ModelEntry
from workers.models.weights import cache_folder, no_report, sha256_of

CONFIG = "config.json"
PREPARATION = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""In this order: what a repository has of both, the first is taken."""

TOKENIZERS = ("tokenizer.json", "vocab.txt")
"""Of a detector's: what a repository has of both, the first is taken."""

_SOURCE = "source.json"
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class HubModel:
    """The files of a model: `config` describes its shape, `preparation` how images become its
    input, empty where that is not known."""

    weights: Path
    config: dict[str, Any]
    preparation: dict[str, Any]


def hub_folder(entry: ModelEntry, cache_dir: Path | None = None) -> Path:
    """Where the files of a hub's model are kept."""
    return cache_folder(cache_dir) / entry.name


def cached_weights(entry: ModelEntry, cache_dir: Path | None = None) -> Path | None:
    """The weights of a hub's model, if they and what describes them are there."""
    folder = hub_folder(entry, cache_dir)
    there = _find_weights(folder)
    described = (folder / CONFIG).is_file() and (
        entry.kind != "detector" or _find_first(folder, TOKENIZERS) is not None
    )
    return there if described else None


def list_checked(entry: ModelEntry, cache_dir: Path | None = None) -> list[Path]:
    """The files of a model, as far as they are there, that `verify_file` knows."""
    folder = hub_folder(entry, cache_dir)
    tokenizer = _find_first(folder, TOKENIZERS) if entry.kind == "detector" else None
    return [path for path in (cached_weights(entry, cache_dir), tokenizer) if path is not None]


def fetch_from_hub(
    entry: ModelEntry, cache_dir: Path | None = None, report: Report = no_report
) -> Path:
    """The folder of a hub's model, fetched first if it is not there.

    All files are of one commit, that of the first try. Weights are checked against the SHA-256 by
    which the hub keeps them (the id of a large file), and it is kept beside them for `verify_hub`.
    Raises DownloadError and ModelError.
    """
    folder = hub_folder(entry, cache_dir)
    if cached_weights(entry, cache_dir) is not None:
        return folder
    revision = _read_source(folder).get("commit") or entry.revision
    config = _ask_hub(entry, CONFIG, revision, folder)
    if config is None:
        raise ModelError(f"{entry.hub_repo} has no {CONFIG} at {revision}")
    commit = _commit_of(config, entry)
    of_weights = ((name, _ask_hub(entry, name, commit, folder)) for name in WEIGHTS)
    name, known = next(((name, known) for name, known in of_weights if known), ("", None))
    if known is None:
        raise ModelError(f"{entry.hub_repo} has none of {' and '.join(WEIGHTS)} at {commit}")
    source: dict[str, Any] = {"repo": entry.hub_repo, "commit": commit}
    # Before any file, or those of a try that was cut short would go with another commit's weights.
    _write_source(folder, {**source, "sha256": {name: _sha256_in(known)}})
    _fetch_file(entry, CONFIG, config, folder)
    if (preparation := _ask_hub(entry, PREPARATION, commit, folder)) is not None:
        _fetch_file(entry, PREPARATION, preparation, folder)
    hashes = _fetch_tokenizer(entry, commit, folder) if entry.kind == "detector" else {}
    hashes[name] = _fetch_file(entry, name, known, folder, report)
    _write_source(folder, {**source, "sha256": hashes})
    return folder


def open_folder(folder: Path) -> HubModel:
    """The model in a folder of the hub's layout, or whose weights are the file `folder`.

    Beside weights that are called otherwise than the hub's, `NAME.json` is their config, which may
    hold what `preprocessor_config.json` else does as `preprocessor`. Raises ModelError for what is
    missing or no JSON.
    """
    weights = folder if folder.is_file() else _find_weights(folder)
    if weights is None:
        raise ModelError(f"expected {' or '.join(WEIGHTS)} in {folder}")
    own = weights.with_suffix(".json")
    config = _read_json(own if own.is_file() else weights.parent / CONFIG)
    preparation = weights.parent / PREPARATION
    given = config.pop("preprocessor", {})
    return HubModel(
        weights, config, _read_json(preparation) if preparation.is_file() and not given else given
    )


def find_tokenizer(folder: Path) -> Path:
    """The file in a folder that says how texts become tokens. Raises ModelError for none."""
    there = _find_first(folder, TOKENIZERS)
    if there is None:
        raise ModelError(f"expected {' or '.join(TOKENIZERS)} in {folder}")
    return there


def verify_hub(model: HubModel, entry: ModelEntry) -> str:
    """SHA-256 of the weights. Raises ModelError unless it is what the hub gave for them."""
    return verify_file(model.weights, entry)


def verify_file(path: Path, entry: ModelEntry) -> str:
    """SHA-256 of a model's file. Raises ModelError unless it is that of the file once fetched."""
    got = sha256_of(path)
    expected = _read_source(path.parent).get("sha256", {}).get(path.name)
    if expected and got != expected:
        raise ModelError(
            f"{path} is not the published {entry.name}, expected sha256 {expected}, "
            f"got {got}: `objseek models pull {entry.name}` replaces it"
        )
    return got


def check_folder(path: Path, *, has_tokenizer: bool = False) -> None:
    """Raise ModelError unless `path` is a folder or file of what `open_folder` opens.

    With `has_tokenizer` it has to lie there too.
    """
    if not path.exists():
        raise ModelError(f"the weights {path} cannot be read: there is no such file")
    found = open_folder(path)
    if has_tokenizer:
        find_tokenizer(found.weights.parent)


def check_weights(entry: ModelEntry, checkpoint: str) -> None:
    """Raise ModelError where local weights of a model, a file or a folder, are not there."""
    path = Path(checkpoint).expanduser()
    if entry.source in ("hub", "user"):
        check_folder(path, has_tokenizer=entry.task == "texts")
    elif not path.is_file():
        raise ModelError(f"the weights {path} cannot be read: there is no such file")


def _fetch_tokenizer(entry: ModelEntry, commit: str, folder: Path) -> dict[str, str]:
    """SHA-256 of a detector's tokenizer by its name, downloaded. Raises ModelError if it has none.

    Before its weights, without which a model counts as absent.
    """
    for name in TOKENIZERS:
        if (known := _ask_hub(entry, name, commit, folder)) is not None:
            return {name: _fetch_file(entry, name, known, folder)}
    raise ModelError(f"{entry.hub_repo} has none of {' and '.join(TOKENIZERS)} at {commit}")


def _fetch_file(
    entry: ModelEntry, name: str, known: HfFileMetadata, folder: Path, report: Report = no_report
) -> str:
    """SHA-256 of the file, downloaded and checked as far as the hub says what it must be."""
    url, target = _url(entry, name, _commit_of(known, entry)), folder / name
    sha256 = _sha256_in(known)
    try:
        download(url, target, sha256=sha256, size_bytes=known.size, report=report)
    except DownloadError as exc:
        raise _unavailable(entry, folder, exc) from exc
    return sha256 or sha256_of(target)


def _sha256_in(known: HfFileMetadata) -> str:
    """Of a large file, "" of others."""
    etag = known.etag or ""
    return etag if len(etag) == _SHA256_DIGITS else ""


def _read_source(folder: Path) -> dict[str, Any]:
    path = folder / _SOURCE
    return _read_json(path) if path.is_file() else {}


def _write_source(folder: Path, source: dict[str, object]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(folder / _SOURCE) as file:
            file.write(json.dumps(source, indent=1).encode())
    except OSError as exc:
        raise ModelError(f"{folder} cannot be written: {exc.strerror or exc}") from exc


def _ask_hub(entry: ModelEntry, name: str, revision: str, folder: Path) -> HfFileMetadata | None:
    """What the hub knows of a file, None if there is none. Raises DownloadError."""
    url = _url(entry, name, revision)
    try:
        return get_hf_file_metadata(url)
    except EntryNotFoundError:
        return None
    # What its client raises where there is no network has no base of the hub's own.
    except Exception as exc:
        raise _unavailable(entry, folder, f"{url} gave: {first_line(exc)}") from exc


def _url(entry: ModelEntry, name: str, revision: str) -> str:
    return hf_hub_url(entry.hub_repo, name, revision=revision)


def _commit_of(known: HfFileMetadata, entry: ModelEntry) -> str:
    return known.commit_hash or entry.revision


def _unavailable(entry: ModelEntry, folder: Path, why: object) -> DownloadError:
    tokenizer = f", {TOKENIZERS[0]}" if entry.kind == "detector" else ""
    files = f"{CONFIG}, {PREPARATION}{tokenizer} and {WEIGHTS[0]}"
    return DownloadError(
        f"the weights of {entry.name} could not be downloaded, as {why}: try again, or get {files} "
        f"of {entry.hub_repo} elsewhere and put them into {folder}"
    )


def _find_weights(folder: Path) -> Path | None:
    return _find_first(folder, WEIGHTS)


def _find_first(folder: Path, names: Iterable[str]) -> Path | None:
    paths = (folder / name for name in names)
    return next((path for path in paths if path.is_file()), None)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ModelError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ModelError(f"{path} is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise ModelError(f"expected an object in {path}, got {type(value).__name__}")
    return value
