"""Tells how many numbers an embedder makes, from its description and without its weights."""

from __future__ import annotations

import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any

from schemas.errors import ModelError
from workers.models.catalog import LOCAL_PREFIX
from workers.models.open_clip_names import CONFIG_FILE, check_folder, check_name

_DEMO = "clip_demo"


def find_dim(name: str) -> int:
    """Of `clip_demo`, `architecture/pretrained` of open_clip, or `local-dir:FOLDER`.

    Raises UnknownModelError for a name that nothing has, ModelError for a folder that holds none.
    """
    try:
        return int(_read_description(name)["embed_dim"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"expected embed_dim in the description of the embedder {name}, got none"
        ) from exc


def _read_description(name: str) -> dict[str, Any]:
    if name == _DEMO:
        bundled = resources.files("workers.bundled").joinpath(f"{_DEMO}.json")
        return dict(json.loads(bundled.read_text(encoding="utf-8")))
    if name.startswith(LOCAL_PREFIX):
        own = json.loads((check_folder(name) / CONFIG_FILE).read_text(encoding="utf-8"))
        return dict(own.get("model_cfg", own))
    check_name(name)
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    architecture = name.rpartition("/")[0]
    path = Path(spec.origin).parent / "model_configs" / f"{architecture}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))
