"""Builds `clip_demo`: a small open_clip model with its own config."""

from __future__ import annotations

from importlib import resources

import open_clip
from open_clip import CLIP

ARCHITECTURE = "clip_demo"


def create_clip_demo() -> CLIP:
    """The open_clip model with random weights, float32, on the CPU."""
    config = resources.files("workers.bundled").joinpath(f"{ARCHITECTURE}.json")
    with resources.as_file(config) as path:
        open_clip.add_model_config(path)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None)
    assert isinstance(model, CLIP)
    return model
