"""Lists the models that find boxes for texts, and reads which of them settings name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from workers.models.model_entry import ModelEntry

DEFAULT_DETECTOR = "mm_grounding_dino_tiny"
NO_DETECTOR = "none"
"""Texts are compared with masks by the embedder, whatever weights are at hand."""


def _list_detectors() -> Iterator[ModelEntry]:
    sizes = {"tiny": ("Swin-T", 692), "base": ("Swin-B", 936), "large": ("Swin-L", 1_370)}
    grounding = {
        "tiny": "mm_grounding_dino_tiny_o365v1_goldg_v3det",
        "base": "mm_grounding_dino_base_all",
        "large": "mm_grounding_dino_large_all",
    }
    families = {
        "mm_grounding_dino": ("MM Grounding DINO", "openmmlab-community"),
        "llmdet": ("LLMDet, taught by a language model,", "iSEE-Laboratory"),
    }
    for family, (called, owner) in families.items():
        for size, (backbone, size_mb) in sizes.items():
            name = f"{family}_{size}"
            repo = grounding[size] if family == "mm_grounding_dino" else name
            yield ModelEntry(
                name=name,
                kind="detector",
                source="hub",
                licence="Apache-2.0",
                about=f"{called} {backbone}: boxes for texts",
                size_bytes=size_mb * 1_000_000,
                hub_repo=f"{owner}/{repo}",
                module="text_detector",
                task="texts",
            )


DETECTORS: tuple[ModelEntry, ...] = tuple(_list_detectors())


def is_folder(detector: str) -> bool:
    """Whether a detector is named by the folder of its files; what has a slash is."""
    return "/" in detector


def describe_folder(detector: str) -> ModelEntry:
    """An entry for a detector of the user's own."""
    return replace(DETECTORS[0], name=Path(detector).name, size_bytes=None, hub_repo="")
