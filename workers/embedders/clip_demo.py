"""`clip_demo`: the small bundled model. It knows emoji scenes only."""

from __future__ import annotations

from pathlib import Path

import open_clip

from schemas.options import EmbedderOptions
from workers.embedders.clip_embedder import ClipEmbedder, silence_loading
from workers.models.catalog import bundled_path, find
from workers.models.clip_demo_architecture import ARCHITECTURE, create_clip_demo
from workers.models.weights import fill, read_weights


def build(options: EmbedderOptions) -> ClipEmbedder:
    """The bundled model on `options.device`. Raises ModelError if its weights do not come along."""
    return from_weights(bundled_path(find(ARCHITECTURE, "embedder")), options)


def from_weights(weights: Path, options: EmbedderOptions) -> ClipEmbedder:
    """The architecture of `clip_demo` with the weights of a safetensors file of any precision.

    Raises ModelError if they are absent, damaged, or of another architecture.
    """
    tensors = read_weights(weights)
    with silence_loading():
        model = create_clip_demo()
        tokenizer = open_clip.get_tokenizer(ARCHITECTURE)
    fill(model, tensors, ARCHITECTURE)
    config = open_clip.get_model_config(ARCHITECTURE)
    return ClipEmbedder(model, tokenizer, config, config["embed_dim"], options)
