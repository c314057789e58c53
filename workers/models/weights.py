"""Fetches, verifies and loads weights, without ever running code in them."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import DownloadError, ModelError
from workers.models.download import Report, download
from workers.models.model_entry import ModelEntry

if TYPE_CHECKING:
    import torch


def cache_folder(cache_dir: Path | None = None) -> Path:
    """The folder that holds fetched weights; the user's own unless one is given."""
    return cache_dir or Path.home() / ".cache" / "objseek" / "models"


def no_report(done_bytes: int, total_bytes: int | None) -> None:
    """Ignore the progress of a download."""


def fetch(entry: ModelEntry, cache_dir: Path | None = None, report: Report = no_report) -> Path:
    """Path of an official model's weights in the cache, downloaded first if they are not there.

    Raises DownloadError (one sentence with the address, the file and the folder to put it in) and
    ModelError. A file that is there already is not verified here: `verify` does that.
    """
    target = cache_folder(cache_dir) / entry.file_name
    if target.exists():
        return target
    try:
        download(
            entry.url,
            target,
            sha256=entry.sha256,
            size_bytes=entry.exact_size_bytes,
            report=report,
        )
    except DownloadError as exc:
        raise DownloadError(
            f"the weights of {entry.name} could not be downloaded, as {exc}: try again, or get "
            f"{entry.file_name} from {entry.url} elsewhere and put it into {target.parent}"
        ) from exc
    return target


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises ModelError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ModelError(f"the weights {path} cannot be read: {exc.strerror or exc}") from exc


def verify(path: Path, entry: ModelEntry) -> str:
    """SHA-256 of a cached file. Raises ModelError unless it is the published one, if any is."""
    got = sha256_of(path)
    if not got.startswith(entry.sha256):
        raise ModelError(
            f"{path} is not the published {entry.name}, expected sha256 {entry.sha256}, got {got}: "
            f"`objseek models pull {entry.name}` replaces it"
        )
    return got


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` or PyTorch file by name, on the CPU; code in it never runs.

    Raises ModelError for a file that is missing, truncated, no checkpoint, or more than weights.
    """
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return tensors


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as exc:
        raise ModelError(f"{path} is damaged or no safetensors file: {exc}") from exc


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    import pickle

    import torch

    with path.open("rb") as file:
        archive = file.read(2) == b"PK"
    if archive and not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is truncated: it begins as a PyTorch file, but has no end")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        if "Unsupported" in str(exc) and "GLOBAL" in str(exc):
            raise ModelError(
                f"{path} holds pickled code or objects besides weights, and is not loaded"
            ) from exc
        raise ModelError(f"{path} is damaged or no PyTorch file") from exc
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as exc:
        raise ModelError(f"{path} is damaged or no PyTorch file") from exc
    if not _is_state_dict(loaded):
        raise ModelError(f"expected tensors by name in {path}, got {type(loaded).__name__}")
    return dict(loaded)


def _is_state_dict(loaded: object) -> bool:
    import torch

    return isinstance(loaded, Mapping) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    )


def fill(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Make `tensors` the parameters and buffers of `model` (which may be on the meta device).

    Floating-point numbers become float32. Raises ModelError if names or shapes differ; `name` is
    the model's.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    if expected != given:
        keys = expected | given
        wrong = [key for key in keys if expected.get(key) != given.get(key)]
        first = wrong[0]
        raise ModelError(
            f"these weights are of another architecture than {name}: {len(wrong)} of {len(keys)} "
            f"tensors differ, the first is {first!r}, expected shape "
            f"{expected.get(first, 'none')}, got {given.get(first, 'none')}"
        )
    ready = {
        key: value.float() if value.is_floating_point() else value for key, value in tensors.items()
    }
    model.load_state_dict(ready, assign=True)
