"""An open_clip model so small that a test can make it."""

import json

import open_clip
import torch
from safetensors.torch import save_file

from schemas.options import EmbedderOptions
from workers.embedders import openclip

TINY = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16
    },
    "text_cfg": {
        "context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1
    },
}  # fmt: skip

HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "interpolation": "bicubic"}


def tiny_model(seed=0, **settings):
    torch.manual_seed(seed)
    return open_clip.CLIP(**{**TINY, **settings})


def write_folder(folder, seed=0, preprocess=HALVES):
    folder.mkdir(exist_ok=True)
    config = {"model_cfg": TINY, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tiny_model(seed).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def local(folder, **options):
    return openclip.build(exactly(name=f"local-dir:{folder}", **options))


def exactly(**options):
    """In float32 whatever the CPU is fast in, as what is compared to many digits."""
    return EmbedderOptions(**{"device": "cpu", "precision": "fp32", **options})
