"""The bundled models as their packages have them, for the sides that ours are held against."""

from __future__ import annotations

from open_clip import CLIP
from segment_anything.modeling import Sam
from torch import nn

from workers.embedders.clip_embedder import silence_loading
from workers.models import catalog
from workers.models.clip_demo_architecture import create_clip_demo
from workers.models.sam_demo_architecture import build_sam_demo
from workers.models.weights import fill, read_weights


def bundled_sam() -> Sam:
    """`sam_demo`, ready for segment-anything's generator."""
    sam = build_sam_demo()
    _fill(sam, "sam_demo")
    return sam.eval()


def bundled_clip() -> CLIP:
    """`clip_demo`, ready for open_clip's own calls."""
    with silence_loading():
        clip = create_clip_demo()
    _fill(clip, "clip_demo")
    return clip.eval()


def _fill(model: nn.Module, name: str) -> None:
    fill(model, read_weights(catalog.bundled_path(catalog.find(name))), name)
