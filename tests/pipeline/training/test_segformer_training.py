"""The training of `segformer_demo`, where it can be held against something known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.demo.groups import GROUPS
from pipeline.demo.scenes import MAX_OBJECTS
from pipeline.demo.sprites import STYLES, Concept
from pipeline.training import export_weights, train_segformer
from pipeline.training.crops import CROP_PX
from pipeline.training.group_windows import GroupBatch, Windows, centre, list_groups
from pipeline.training.scene_cache import Art
from pipeline.training.scene_crops import SceneCrops, recolour
from pipeline.training.segformer_learner import (
    Learner,
    compute_loss,
    compute_losses,
    pool_features,
    weigh_groups,
)
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter

LABELS = ("cat", "grapes", "globe showing Americas", "jack-o-lantern", "glasses")
WIDTH = 8


@pytest.fixture(scope="module")
def windows() -> Windows:
    """Of a concept of each group, drawn in two styles, as a square and as a bar."""
    concepts = [Concept(label, label, ()) for label in LABELS]
    sprites = np.zeros((len(LABELS), 3, 64, 64, 4), np.uint8)
    for row, colour in enumerate(np.eye(5, 3, dtype=np.uint8) * 200 + 40):
        sprites[row, :2, 8:56, 8:56, :3], sprites[row, 0, 8:56, 8:56, 3] = colour, 255
        sprites[row, 1, 8:56, 24:40, 3] = 255
    seen = np.zeros((len(LABELS), 3), bool)
    seen[:, :2] = True
    held = np.zeros_like(seen)
    return Windows(Art(concepts, list(STYLES), sprites, seen, held, len(LABELS)))


def test_windows_show_three_concepts_and_what_clip_demo_says_of_their_drawings(
    windows: Windows,
) -> None:
    batch = windows.draw(16)
    assert batch.pixels.shape == (16, 3, CROP_PX, CROP_PX)
    assert batch.instances.unique().tolist() == [0, 1, 2, 3]
    assert batch.concepts.shape == (16, 4)
    assert batch.concepts[:, 0].tolist() == [-1] * 16
    assert batch.concepts[:, 1:].unique().tolist() == [0, 1, 2, 3, 4]
    assert batch.vectors is not None
    lengths = batch.vectors.norm(dim=-1)
    torch.testing.assert_close(lengths[:, 1:], torch.ones(16, 3))
    # Its vectors tell which concept a drawing is of.
    near = batch.vectors[:, 1:] @ windows.teaching.concepts.T
    assert (near.argmax(-1) == batch.concepts[:, 1:]).float().mean() > 0.6


def test_windows_follow_from_their_seed(windows: Windows) -> None:
    drawn = []
    for seed in (5, 5, 6):
        windows.reseed(seed)
        drawn.append(windows.draw(2).pixels)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_centred_vectors_have_length_one_and_little_in_common() -> None:
    torch.manual_seed(0)
    vectors = centre(torch.randn(50, WIDTH) + 5)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(50))
    assert vectors.mean(0).norm() < 0.2


def test_crops_show_the_concepts_of_their_pixels(tmp_path: Path) -> None:
    instances = np.zeros((1, 480, 640), np.uint8)
    instances[0, :, 320:] = 3
    concepts = np.zeros((1, MAX_OBJECTS + 1), np.uint16)
    concepts[0, 3] = 1 + 7
    np.save(tmp_path / "instances.npy", instances)
    np.save(tmp_path / "concepts.npy", concepts)
    np.save(tmp_path / "images.npy", np.repeat(instances[..., None] * 80, 3, axis=3))
    batch = SceneCrops([tmp_path], 192, (0.4, 0.8)).draw(6)
    assert batch.pixels.shape == (6, 3, 192, 256)
    assert batch.concepts[:, 3].tolist() == [7] * 6
    assert batch.concepts[:, 0].tolist() == [-1] * 6
    bright = batch.pixels.mean(1) > batch.pixels.mean()
    assert ((batch.instances == 3) == bright).float().mean() > 0.99


def make_learner() -> Learner:
    torch.manual_seed(0)
    return Learner(centre(torch.randn(10, WIDTH)), 1 + torch.arange(10) % len(GROUPS))


def make_batch() -> GroupBatch:
    instances = torch.zeros(2, 64, 64, dtype=torch.int64)
    instances[:, 16:48, 8:40], instances[:, :2, :2] = 1, 2
    concepts = torch.tensor([[-1, 4, 5], [-1, 7, -1]])
    return GroupBatch(torch.randn(2, 3, 64, 64), instances, concepts, torch.zeros(2, 3, WIDTH))


def test_groups_follow_from_concepts_and_tiny_instances_are_not_asked() -> None:
    learner, batch = make_learner(), make_batch()
    groups = learner.find_groups(batch)
    assert groups[:, 30, 20].tolist() == [1 + 4, 1 + 2]
    assert groups[:, 0, 0].tolist() == [1 + 0, 0]
    assert groups[:, 60, 60].tolist() == [0, 0]
    _, vectors, asked = learner(batch)
    assert asked.tolist() == [[False, True, False]] * 2
    assert vectors.shape == (2, WIDTH)


def test_everything_learns() -> None:
    learner = make_learner()
    loss, figures = compute_losses(learner, make_batch(), bf16=False)
    assert set(figures) == {"pixels", "right", "background", "concept", "named", "likeness"}
    loss.backward()  # type: ignore[no-untyped-call]
    assert [name for name, weight in learner.named_parameters() if weight.grad is None] == []


def test_weights_of_several_trainings_are_averaged(tmp_path: Path) -> None:
    learner = make_learner()
    paths = [tmp_path / "first.pt", tmp_path / "second.pt"]
    torch.save({"ema": learner.state_dict()}, paths[0])
    with torch.no_grad():
        for weight in learner.parameters():
            weight.add_(2)
    torch.save({"ema": learner.state_dict()}, paths[1])
    mean = Learner.load(paths)
    assert torch.equal(mean.group_of, learner.group_of)
    for weight, last in zip(mean.parameters(), learner.parameters(), strict=True):
        torch.testing.assert_close(weight, last - 1)


def test_scenes_alone_need_weights_to_start_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["train_segformer", "--checkpoint", "segformer.pt", "--scenes", "grouped"]
    monkeypatch.setattr("sys.argv", call)
    with pytest.raises(SystemExit):
        train_segformer.main()
    assert "expected --sprites, or --scenes and --weights-from" in capsys.readouterr().err


def test_features_are_pooled_by_shares() -> None:
    features = torch.arange(4.0).view(1, 1, 2, 2)
    shares = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.5], [0.0, 0.0]]]])
    assert pool_features(features, shares).tolist() == [[[1.5], [1.0]]]


def test_the_loss_is_least_for_the_right_groups() -> None:
    groups = torch.zeros(1, 16, 16, dtype=torch.int64)
    groups[:, :, 8:] = 2
    small = torch.nn.functional.one_hot(groups[:, ::4, ::4], 6).permute(0, 3, 1, 2).float()
    right, share = compute_loss(20 * small, groups, torch.ones(6))
    wrong, _ = compute_loss(20 * small.flip(1), groups, torch.ones(6))
    assert share > 0.85
    assert right < 0.5 < wrong


def test_rare_groups_weigh_more() -> None:
    weights = weigh_groups(torch.tensor([1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5]))
    assert weights[0] < weights[1] == weights[5] < weights[2] == weights[3]
    assert weights[2] == pytest.approx(2 * weights[1])


def test_recoloured_crops_keep_their_shapes() -> None:
    images = torch.zeros(40, 3, 8, 8)
    images[:, 0, :, :4] = 0.5
    images[:, 1:, :, :4] = 0.3
    turned = recolour(images, torch.Generator().manual_seed(0))
    assert turned[..., 4:].max() == 0
    assert turned[..., :4].min() > 0.1
    is_red = turned[:, 0, 0, 0] == turned[:, :, 0, 0].amax(1)
    assert 0.3 < is_red.float().mean() < 0.9


def test_groups_of_concepts_begin_at_one(windows: Windows) -> None:
    concepts = [Concept(label, label, ()) for label in LABELS]
    empty = np.zeros((0,), bool)
    assert list_groups(Art(concepts, [], empty, empty, empty, 5)).tolist() == [1, 2, 3, 4, 5]


def test_an_exported_model_is_a_segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner()
    weights: dict[str, Tensor] = learner.state_dict()
    # All is the fifth group.
    weights["model.decode_head.classifier.weight"].zero_()
    weights["model.decode_head.classifier.bias"].copy_(torch.tensor([0.0, 0, 0, 0, 0, 5]))
    torch.save({"ema": weights, "step": 3}, tmp_path / "segformer.pt")
    call = ["export_weights", "--segformer", str(tmp_path / "segformer.pt"), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", call)
    export_weights.main()
    file = tmp_path / "segformer_demo.safetensors"
    assert file.stat().st_size < 8_000_000
    options = SegmenterOptions(
        name="segformer_demo", device="cpu", checkpoint=str(file), max_area_frac=1
    )
    (found,) = build_segmenter(options).segment([np.zeros((90, 120, 3), np.uint8)])[0]
    assert (found.segmenter_label, found.area_px) == (GROUPS[4], 90 * 120)
    assert found.segmenter_score == pytest.approx(0.967, abs=1e-2)
