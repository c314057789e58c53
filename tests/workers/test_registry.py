"""From a name to a model: what cannot be named, and weights that are not the model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from schemas.errors import ModelError, UnknownModelError, UsageError
from schemas.options import EmbedderOptions, SegmenterOptions
from workers.models import catalog
from workers.registry import (
    build_embedder,
    build_image_embedder,
    build_segmenter,
    resolve_device,
)


def test_unknown_names_are_refused_with_near_matches() -> None:
    with pytest.raises(UnknownModelError, match=r"no segmenter is called 'SAM-vit-b': .*sam_vit_b"):
        build_segmenter(SegmenterOptions(name="SAM-vit-b"))
    with pytest.raises(UnknownModelError, match="'clip_demo'"):
        build_embedder(EmbedderOptions(name="clip-demo"))
    with pytest.raises(UnknownModelError, match="there are sam_demo, sam_vit_b"):
        build_segmenter(SegmenterOptions(name="zzz"))


def test_a_device_that_is_not_there_is_refused() -> None:
    assert resolve_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert resolve_device("auto", automatic=("cuda",)) == "cpu"
        with pytest.raises(UsageError, match="'cuda'"):
            resolve_device("cuda")


def test_ingest_needs_no_text_tower() -> None:
    options = EmbedderOptions(device="cpu")
    embedder = build_image_embedder(options)
    crop = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    wanted = build_embedder(options).embed_images([crop])
    np.testing.assert_array_equal(embedder.embed_images([crop]), wanted)
    assert not hasattr(embedder._model, "transformer")


def test_demo_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="another architecture than sam_demo"):
        build_segmenter(SegmenterOptions(checkpoint=str(path), device="cpu"))


def test_absent_demo_weights_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalog, "bundled_file", lambda name: tmp_path / name)
    with pytest.raises(ModelError, match=r"incomplete: .*sam_demo\.safetensors is missing"):
        build_segmenter(SegmenterOptions(device="cpu"))
