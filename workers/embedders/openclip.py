"""Any model of open_clip: an `architecture/pretrained` of its list, or `local-dir:FOLDER`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
from huggingface_hub.errors import EntryNotFoundError
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from schemas.errors import DownloadError, ModelError
from schemas.options import EmbedderOptions
from workers.embedders.clip_embedder import ClipEmbedder, silence_loading
from workers.models.catalog import LOCAL_PREFIX
from workers.models.open_clip_names import CONFIG_FILE, check_folder, name_unknown


def build(options: EmbedderOptions) -> ClipEmbedder:
    """The model on `options.device`.

    Raises UnknownModelError for a name that open_clip does not have, DownloadError when its
    weights cannot be fetched, ModelError when they are missing, damaged or of another model.
    """
    if options.name.startswith(LOCAL_PREFIX):
        return _from_folder(options)
    pretrained, weights = _tag(options.name), fetch(options.name)
    architecture = options.name.rpartition("/")[0]
    quick_gelu = bool(pretrained.get("quick_gelu"))
    return _load(
        architecture,
        options,
        {"name": architecture, "quick_gelu": quick_gelu},
        pretrained=str(weights),
        # The tag knows what its weights were trained with; the architecture's own may differ.
        force_quick_gelu=quick_gelu,
        force_preprocess_cfg={key: pretrained.get(key) for key in ("mean", "std", "interpolation")},
    )


def _tag(name: str) -> Mapping[str, Any]:
    """What open_clip knows of an `architecture/pretrained`. Raises UnknownModelError."""
    architecture, _, tag = name.rpartition("/")
    pretrained: Mapping[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not pretrained:
        raise name_unknown(name)
    return pretrained


def _from_folder(options: EmbedderOptions) -> ClipEmbedder:
    return _load(f"{LOCAL_PREFIX}{check_folder(options.name)}", options, None)


def _load(
    source: str, options: EmbedderOptions, architecture: object, **settings: Any
) -> ClipEmbedder:
    """`source` as open_clip names models; `architecture` None takes the model's own config."""
    try:
        with silence_loading():
            model = open_clip.create_model(
                source, require_pretrained=True, weights_only=True, **settings
            )
            tokenizer = open_clip.get_tokenizer(source)
            config: Mapping[str, Any] = open_clip.get_model_config(source)
    # Unpicklers, archives, configs and tokenizers raise errors of their own, with no common base.
    except Exception as exc:
        raise ModelError(
            f"expected a model that open_clip can load, got {_brief(exc)} (embedder {options.name})"
        ) from exc
    return ClipEmbedder(model, tokenizer, architecture or config, config["embed_dim"], options)


def fetch(name: str) -> Path:
    """The weights of an `architecture/pretrained`, in the cache of the Hugging Face hub.

    They are downloaded first if they are not there. Raises UnknownModelError, DownloadError.
    """
    # `repository/file`, or `repository/` for the usual file.
    repository, _, file = _tag(name)["hf_hub"].rpartition("/")
    files = [str(Path(file).with_suffix(".safetensors")), file] if file else []
    files = files or [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    for candidate in files:
        cached = huggingface_hub.try_to_load_from_cache(repository, candidate)
        if isinstance(cached, str):
            return Path(cached)
    try:
        return _download(repository, files)
    # The hub's client has no common base of its errors, nor has the HTTP library below it.
    except Exception as exc:
        raise DownloadError(
            f"expected the weights of {name} ({repository}, {' or '.join(files)}), which could not "
            f"be fetched: {_brief(exc)}; put them into the Hugging Face cache at "
            f"{huggingface_hub.constants.HF_HUB_CACHE}, or into a folder with {CONFIG_FILE} and "
            f"use {LOCAL_PREFIX}FOLDER"
        ) from exc


def _download(repository: str, files: list[str]) -> Path:
    for file in files[:-1]:
        try:
            # One attempt: without a network the download itself retries for a long time.
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file))
        except EntryNotFoundError:
            continue
        return Path(huggingface_hub.hf_hub_download(repository, file))
    return Path(huggingface_hub.hf_hub_download(repository, files[-1]))


def _brief(error: BaseException) -> str:
    """An error's own words in one line."""
    text = f"{type(error).__name__}: {error}"
    return textwrap.shorten(text, 200, placeholder=" …").rstrip(".")
