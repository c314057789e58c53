"""Loads models of the hub into transformers' classes, weights alone and none missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers.utils import logging

from schemas.errors import ModelError, first_line
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.hub import HubModel, fetch_from_hub, open_folder, verify_hub
from workers.models.model_entry import ModelEntry
from workers.models.weights import read_weights, sha256_of
from workers.segmenters.heads.classes import Classes, read_classes

_patching = Lock()


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """transformers' model, ready for use on its device, with what came beside its weights.

    `folder` is where these lie.
    """

    model: Any
    config: Mapping[str, Any]
    preparation: Mapping[str, Any]
    weights_sha256: str
    folder: Path

    @property
    def classes(self) -> Classes:
        """Those of its outputs."""
        return read_classes(self.config, self.model.config.num_labels)


def find_model(
    options: SegmenterOptions, cache_dir: Path | None, entry: ModelEntry
) -> tuple[HubModel, str]:
    """The files of a model and their SHA-256: `options.checkpoint`, bundled ones, or the hub's.

    Raises ModelError, DownloadError.
    """
    if options.checkpoint is not None:
        found = open_folder(Path(options.checkpoint).expanduser())
        return found, sha256_of(found.weights)
    if entry.source == "bundled":
        found = open_folder(catalog.bundled_path(entry))
        return found, sha256_of(found.weights)
    found = open_folder(fetch_from_hub(entry, cache_dir))
    return found, verify_hub(found, entry)


def load_model(
    options: SegmenterOptions,
    cache_dir: Path | None,
    entry: ModelEntry,
    modelling: ModuleType,
    class_name: str,
    config_class: type[Any],
) -> LoadedModel:
    """`class_name` of transformers' `modelling`, with the weights of `find_model`.

    Raises ModelError where config or weights are not such a model's, and what `find_model` does.
    """
    found, sha256 = find_model(options, cache_dir, entry)
    config = _read_config(found, config_class, entry.name)
    tensors = read_weights(found.weights)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model_class = getattr(modelling, class_name)
    with _build_without_losses(modelling):
        model, notes = _fill(model_class, config, tensors, entry.name)
    missing = sorted(notes["missing_keys"])
    if missing:
        raise ModelError(
            f"these weights are of another architecture than {entry.name}: {len(missing)} tensors "
            f"are missing, the first is {missing[0]!r}"
        )
    model = model.eval().requires_grad_(False).to(options.device)
    return LoadedModel(model, found.config, found.preparation, sha256, found.weights.parent)


def _read_config(found: HubModel, config_class: type[Any], name: str) -> Any:
    try:
        return config_class.from_dict(dict(found.config))
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError) as exc:
        raise ModelError(
            f"the config.json beside {found.weights} is not {name}'s: {first_line(exc)}"
        ) from exc


def _fill(
    model_class: type[Any], config: Any, tensors: dict[str, torch.Tensor], name: str
) -> tuple[nn.Module, dict[str, Any]]:
    """By `from_pretrained`, which knows what transformers has renamed since weights were made."""
    try:
        model, notes = model_class.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (RuntimeError, ValueError, TypeError, KeyError) as exc:
        raise ModelError(
            f"these weights are of another architecture than {name}: {first_line(exc)}"
        ) from exc
    return model, notes


@contextmanager
def _build_without_losses(modelling: ModuleType) -> Iterator[None]:
    """Models make their losses along with themselves, and those ask for SciPy when they are made.

    Without training they are never called.
    """
    if not hasattr(modelling, "requires_backends"):
        yield
        return
    with _patching:
        before = modelling.requires_backends
        modelling.requires_backends = lambda *args: None  # type: ignore[attr-defined]
        try:
            yield
        finally:
            modelling.requires_backends = before  # type: ignore[attr-defined]
