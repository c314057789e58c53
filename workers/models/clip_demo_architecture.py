"""Builds `clip_demo`: a small open_clip model with its own config."""

from __future__ import annotations

import json
from importlib import resources
from typing import cast

import open_clip
from open_clip import CLIP
from open_clip.timm_model import TimmModel
from torch import nn

ARCHITECTURE = "clip_demo"


def create_clip_demo() -> CLIP:
    """The open_clip model with random weights, float32, on the CPU."""
    config = resources.files("workers.bundled").joinpath(f"{ARCHITECTURE}.json")
    with resources.as_file(config) as path:
        open_clip.add_model_config(path)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None)
    assert isinstance(model, CLIP)
    return model


def create_trunk() -> nn.Module:
    """The convolutions of its image tower alone, random: float32 (n, 3, h, w) to (n, 512)."""
    config = resources.files("workers.bundled").joinpath(f"{ARCHITECTURE}.json")
    shape = json.loads(config.read_text(encoding="utf-8"))
    vision = shape["vision_cfg"]
    tower = TimmModel(
        vision["timm_model_name"],
        embed_dim=shape["embed_dim"],
        image_size=vision["image_size"],
        pool=vision["timm_pool"],
        proj=vision["timm_proj"],
        pretrained=False,
    )
    return cast(nn.Module, tower.trunk)
