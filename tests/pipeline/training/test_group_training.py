"""The training of the demo models of groups, where it can be held against something known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.demo.groups import GROUPS
from pipeline.demo.scenes import MAX_OBJECTS
from pipeline.training import export_weights
from pipeline.training.group_frames import find_frame_groups
from pipeline.training.kind_head import fit_kinds
from pipeline.training.train_maskrcnn import Frames, build_model, compute_losses
from workers.models.sam_demo_architecture import EMBED_DIM, IMG_SIZE, STRIDE
from workers.segmenters.heads.classes import read_classes

CELLS = IMG_SIZE // STRIDE


def test_hidden_and_tiny_instances_are_not_to_be_found() -> None:
    ids = np.zeros((IMG_SIZE, IMG_SIZE), np.uint8)
    ids[:20, :20], ids[30:32, :2], ids[50:90, :40], ids[200:] = 1, 2, 3, 255
    groups = np.zeros(MAX_OBJECTS + 1, np.uint8)
    visible = np.zeros(MAX_OBJECTS + 1, np.float32)
    groups[1:5], visible[1:5] = (2, 3, 4, 5), (0.9, 0.9, 0.2, 0.9)
    assert find_frame_groups(ids, groups, visible).tolist() == [0, 2, *[0] * (MAX_OBJECTS - 1)]


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    """Two frames, each with a square thing to eat."""
    ids = np.zeros((2, IMG_SIZE, IMG_SIZE), np.uint8)
    ids[:, 100:180, 60:140] = 1
    groups = np.zeros((2, MAX_OBJECTS + 1), np.uint8)
    groups[:, 1] = 1 + GROUPS.index("food and drink")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "ids.npy", ids)
    np.save(tmp_path / "groups.npy", groups)
    np.save(tmp_path / "frames.npy", np.repeat(ids[..., None] * 200, 3, axis=3))
    embeddings = rng.standard_normal((2, EMBED_DIM, CELLS, CELLS)).astype(np.float16)
    np.save(tmp_path / "embeddings.npy", embeddings)
    return Frames(tmp_path, seed=0)


def test_all_but_the_borrowed_networks_learn(frames: Frames) -> None:
    torch.manual_seed(0)
    model = build_model()
    embeddings, pixels, targets = frames.draw(2)
    assert targets[0]["boxes"].tolist() == [[60, 100, 140, 180]]
    assert targets[0]["labels"].tolist() == [2]
    losses = compute_losses(model, embeddings, pixels, targets)
    assert set(losses) == {
        "loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask",
    }  # fmt: skip
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    names = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert names
    assert all(name.startswith("roi_heads.box_head.tower.") for name in names)


def test_kinds_are_fitted_to_what_is_seen() -> None:
    torch.manual_seed(0)
    model = build_model()
    labels = torch.arange(200) % len(GROUPS) + 1
    middles = torch.randn(len(GROUPS), 512)
    vectors = middles[labels - 1] + 0.3 * torch.randn(200, 512)
    classes = model.roi_heads.box_predictor.cls_score
    background = classes.weight[0].clone()
    assert fit_kinds(model, vectors, labels) > 0.95
    torch.testing.assert_close(classes.weight[0], background)


def test_exported_heads_come_without_what_they_borrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model()
    checkpoint = tmp_path / "maskrcnn.pt"
    torch.save({"ema": model.state_dict(), "step": 7}, checkpoint)
    call = ["export_weights", "--maskrcnn", str(checkpoint), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", call)
    export_weights.main()
    weights = load_file(tmp_path / "maskrcnn_demo.safetensors")
    assert not [name for name in weights if ".tower." in name or ".encoder." in name]
    assert "roi_heads.box_head.kind.weight" in weights
    config = json.loads((tmp_path / "maskrcnn_demo.json").read_text())
    assert read_classes(config, 1 + len(GROUPS)).names == (None, *GROUPS)
