"""The parts of the demo models' training that can be held against something known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.colour_prompter import colour_segmenter
from torch import distributed, multiprocessing, nn
from torch.utils.data import DataLoader

from pipeline.demo.sprites import bundled_sprites
from pipeline.training import train_crops, train_scorer
from pipeline.training.export_weights import mix_with
from pipeline.training.loop import (
    Ema,
    Muon,
    MuonAdamW,
    Training,
    learning_rate,
    orthogonalize,
    resume,
    run_steps,
    save_checkpoint,
)
from pipeline.training.prompt_samples import PromptSamples
from pipeline.training.sam_losses import mask_losses, masks_at
from pipeline.training.sam_samples import Samples, sample_prompts, sample_scored_cells
from pipeline.training.scene_frames import find_whole, make_frame, sample_window
from pipeline.training.train_sam import average_gradients, join_batches
from schemas.masks import CocoRle
from workers.models.sam_demo_architecture import IMG_SIZE, STRIDE, build_sam_demo
from workers.segmenters.candidates import Crop
from workers.segmenters.point_scorer import PLACE

CELLS = IMG_SIZE // STRIDE


def test_masks_at_cells_are_those_of_the_whole_mask() -> None:
    torch.manual_seed(0)
    sam = build_sam_demo().eval()
    embedding = torch.randn(1, 96, CELLS, CELLS)
    position = sam.prompt_encoder.get_dense_pe()
    image = embedding.flatten(2)[0].T + sam.prompt_encoder.no_mask_embed.weight
    points = torch.rand(3, 1, 2) * IMG_SIZE, torch.ones(3, 1)
    sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=None)
    cells = torch.stack([torch.randperm(CELLS**2)[:50] for _ in range(3)])
    with torch.no_grad():
        whole, whole_iou = sam.mask_decoder.predict_masks(embedding, position, sparse, dense)
        rows = position.flatten(2)[0].T
        logits, predicted = masks_at(sam.mask_decoder, image, rows, sparse, cells)
    patches = whole[:, 1:].unflatten(3, (CELLS, 4)).unflatten(2, (CELLS, 4)).transpose(3, 4)
    patches = patches.flatten(2, 3)
    for row in range(3):
        torch.testing.assert_close(logits[row], patches[row][:, cells[row]])
    torch.testing.assert_close(predicted, whole_iou[:, 1:])


@pytest.mark.parametrize("side", [0, 3, 15, CELLS])
def test_scored_cells_stand_for_the_whole_frame(side: int) -> None:
    near = np.zeros((CELLS, CELLS), bool)
    near[:side, :side] = True
    cells, weights = sample_scored_cells(np.random.default_rng(0), near)
    assert len(set(cells.tolist())) == len(cells) == len(weights)
    assert weights.sum() == pytest.approx(CELLS**2, rel=1e-5)
    assert weights[near.ravel()[cells]].sum() == pytest.approx(near.sum(), rel=1e-5)
    if side == 3:
        assert near.ravel()[cells].sum() == 9


def test_a_sample_shows_the_object_that_its_prompt_means() -> None:
    rng = np.random.default_rng(0)
    ids = np.zeros((480, 640), np.uint8)
    ids[100:200, 300:400], ids[300:340, 50:100] = 1, 2
    image = np.repeat(ids[..., None] * 100, 3, axis=2)
    pixels, labels = make_frame(rng, image, ids)
    assert pixels.shape == (IMG_SIZE, IMG_SIZE, 3)
    rows = IMG_SIZE * 480 // 640
    assert (labels[rows:] == 255).all()
    assert (labels[:rows] < 3).all()
    drawn = sample_prompts(rng, labels, [1, 2], 12)
    for row in range(12):
        x, y = drawn["points"][row].int().tolist()
        mask = labels == labels[y, x]
        area = (drawn["masks"][row].mean((-1, -2)) * drawn["weights"][row]).sum() * STRIDE**2
        assert drawn["on_object"][row] == (labels[y, x] > 0)
        assert area == pytest.approx(mask.sum() if labels[y, x] else 0, rel=1e-3)


def test_windows_lie_in_the_scene_and_have_the_shapes_of_a_bucket() -> None:
    rng = np.random.default_rng(0)
    scene = np.zeros((480, 640), np.uint8)
    shapes = [scene[sample_window(rng, scene.shape)].shape for _ in range(400)]
    assert shapes.count((480, 640)) > 100
    assert 40 < sum(height > width for height, width in shapes) < 120
    for shape in shapes:
        assert min(shape) >= 240
        assert max(shape) == pytest.approx(min(shape) * 4 / 3, abs=1)


def test_what_a_window_cuts_off_is_not_asked_for() -> None:
    ids = np.zeros((480, 640), np.uint8)
    ids[100:200, 100:200], ids[300:400, 100:200], ids[0:50, 600:640] = 1, 2, 3
    kept = find_whole(ids, (slice(0, 395), slice(0, 400)))
    assert np.flatnonzero(kept[1:] > 0).tolist() == [0, 1]
    kept = find_whole(ids, (slice(0, 350), slice(0, 400)))
    assert np.flatnonzero(kept[1:] > 0).tolist() == [0]


def _average_in(rank: int, store: str) -> None:
    distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    model = nn.ModuleList([nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)])
    model[rank](torch.ones(1, model[rank].in_features) * 4).sum().backward()
    average_gradients(model)
    torch.testing.assert_close(model[0].weight.grad, torch.tensor([[2.0, 2.0]]))
    torch.testing.assert_close(model[1].weight.grad, torch.tensor([[2.0]]))
    distributed.destroy_process_group()


@pytest.mark.long
def test_processes_learn_from_the_mean_of_their_gradients(tmp_path: Path) -> None:
    multiprocessing.spawn(_average_in, (str(tmp_path / "store"),), nprocs=2)


def test_a_perfect_mask_loses_next_to_nothing() -> None:
    target = (torch.rand(2, 30, 4, 4) > 0.5).float()
    logits = (target * 40 - 20)[:, None].repeat(1, 3, 1, 1, 1)
    weights, on_object = torch.ones(2, 30), torch.tensor([True, False])
    predicted = torch.tensor([[1.0] * 3, [0.0] * 3])
    loss, ious = mask_losses(logits, predicted, target, weights, on_object)
    assert loss < 0.01
    torch.testing.assert_close(ious, torch.ones(2))
    worse, _ = mask_losses(-logits, predicted, target, weights, on_object)
    assert worse > 1


@pytest.mark.parametrize("shape", [(40, 100), (100, 40), (7, 7)])
def test_newton_schulz_keeps_directions_and_levels_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    core = u.mT @ orthogonalize(matrix) @ vh.mT
    assert (core.diagonal() > 0.2).all()
    assert (core.diagonal() < 1.3).all()
    off_diagonal = core - core.diagonal().diag()
    torch.testing.assert_close(off_diagonal, torch.zeros_like(core), atol=1e-3, rtol=0)


def test_muon_solves_least_squares_for_matrices_and_kernels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    inputs, wanted = torch.randn(16, 3, 3, 3), torch.randn(16, 4)
    optimizer = MuonAdamW(model, [model], 0.02, 0.0)
    losses = []
    for _ in range(100):
        loss = (model(inputs) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(0.02)
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert sum(isinstance(part, Muon) for part in optimizer._parts) == 1


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def parts(seed: int) -> tuple[nn.Linear, MuonAdamW, Ema[nn.Linear]]:
        torch.manual_seed(seed)
        model = nn.Linear(3, 2)
        return model, MuonAdamW(model, [model], 0.1, 0.0), Ema(model, 0.9)

    def train(model: nn.Linear, optimizer: MuonAdamW, ema: Ema[nn.Linear], steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step(0.1)
            ema.update(model)

    first, path = parts(0), tmp_path / "checkpoint.pt"
    assert resume(path, *first) == 0
    train(*first, steps=3)
    save_checkpoint(path, *first, 3)
    second = parts(1)
    assert resume(path, *second) == 3
    train(*first, steps=2)
    train(*second, steps=2)
    torch.testing.assert_close(first[0].weight, second[0].weight)


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    rates = [learning_rate(step, 2000, 2.0) for step in range(2000)]
    assert rates[0] < 0.1
    assert rates[150] == rates[399] == 2.0
    assert rates[-1] < 0.1
    assert rates == sorted(rates[:200]) + sorted(rates[200:], reverse=True)


def test_steps_are_taken_told_of_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(path: Path, *ends: int) -> nn.Linear:
        """In as many runs, each of which goes on where the last one ended."""
        for end in ends:
            torch.manual_seed(0)
            model = nn.Linear(2, 1)
            optimizer, ema = MuonAdamW(model, (model,), 1e-2, 0.01), Ema(model, 0.9)
            first = resume(path, model, optimizer, ema)
            drawn = iter(range(first, end))

            def compute(
                model: nn.Linear = model, drawn: Iterator[int] = drawn
            ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
                number = torch.tensor(float(next(drawn)))
                return model(torch.ones(2)).square().sum() * 1e9, {"number": number}

            training = Training(model, optimizer, ema, path, peak=1e-2, clip=1.0)
            run_steps(training, range(first, end), 2, compute)
            assert next(drawn, None) is None
            norms = [weight.grad.norm() for weight in model.parameters() if weight.grad is not None]
            assert torch.stack(norms).norm() <= 1.001
        return model

    whole = train(tmp_path / "whole.pt", 5)
    lines = [line.split(" ") for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in lines] == [["2", "number", "0.500"], ["4", "number", "2.500"]]
    assert all(line[4:] == ["s/step"] for line in lines)
    kept = torch.load(tmp_path / "whole.pt", weights_only=True)
    assert kept["step"] == 5
    assert torch.equal(kept["model"]["weight"], whole.weight)
    assert not torch.equal(kept["ema"]["weight"], whole.weight)
    train(tmp_path / "parts.pt", 3, 5)
    told = [line for line in capsys.readouterr().out.splitlines() if " number " in line]
    assert [line.rsplit(" ", 2)[0] for line in told] == ["2 number 0.500", "4 number 3.000"]


def write_caches(folder: Path, colours: Sequence[int]) -> list[Path]:
    """Caches of two scenes of one colour each: one object in the first's, thrice as many after."""
    caches = [folder / str(number) for number in range(len(colours))]
    for number, (cache, colour) in enumerate(zip(caches, colours, strict=True)):
        cache.mkdir()
        ids = np.zeros((2, 480, 640), np.uint8)
        visible = np.zeros((2, 13), np.float32)
        for k in range(1, 3**number + 1):
            ids[:, 200:240, 200 + 60 * k : 240 + 60 * k] = k
            visible[:, k] = 1
        np.save(cache / "images.npy", np.full((2, 480, 640, 3), colour, np.uint8))
        np.save(cache / "instances.npy", ids)
        np.save(cache / "visible.npy", visible)
    return caches


def test_a_seed_draws_the_same_frames_and_prompts(tmp_path: Path) -> None:
    caches = write_caches(tmp_path, (40, 200))
    drawn = list(islice(Samples(caches, 2, (7,)), 3))
    assert [each["points"].tolist() for each in drawn] == [
        [[158.5, 140.5], [25.5, 182.5]],
        [[194.5, 156.5], [245.5, 147.5]],
        [[437.5, 215.5], [165.5, 151.5]],
    ]
    corrected = list(islice(PromptSamples(caches, 2, (7,)), 3))
    assert [each["targets"].tolist() for each in corrected] == [[3, 1], [1, 2], [1, 2]]
    assert corrected[1]["coordinates"].tolist() == [
        [[182, 140], [210, 168]],
        [[237.5, 153.5], [0, 0]],
    ]
    first, same = drawn[0], corrected[0]
    assert torch.equal(first["image"], same["image"])
    assert torch.equal(first["cells"], same["ids"][4::8, 4::8].long())


def test_scenes_come_from_every_cache_the_fuller_the_more_often(tmp_path: Path) -> None:
    colours = 40, 200
    caches = write_caches(tmp_path, colours)
    samples = Samples(caches, 2, (0,))
    means = [int(drawn["image"][:, 60, 160].float().mean()) for drawn in islice(samples, 200)]
    counts = Counter(means)
    assert counts.keys() == set(colours)
    assert 100 < counts[200] < 190
    first, more = (next(iter(DataLoader(Samples(caches, n, (0,)), 3))) for n in (2, 0))
    batch = join_batches(first, more)
    assert batch["points"].shape == (3, 2, 2)
    for name in ("image", "maps", "sides", "sides_weight", "cells"):
        assert len(batch[name]) == 6
        assert torch.equal(batch[name][3:], more[name])
    assert "points" not in more
    assert join_batches(first, None) is first


def test_averages_keep_a_third_of_what_was_there(tmp_path: Path) -> None:
    before = {"weight": torch.tensor([0.0, 3.0]).half(), "steps": torch.tensor(4)}
    save_file(before, tmp_path / "before.safetensors")
    now = {"weight": torch.tensor([3.0, 0.0]).half(), "steps": torch.tensor(9)}
    mixed = mix_with(now, tmp_path / "before.safetensors")
    assert mixed["weight"].tolist() == [2.0, 1.0]
    assert mixed["weight"].dtype == torch.float16
    assert mixed["steps"].item() == 9


def test_samples_of_a_scene_are_points_and_what_they_gave() -> None:
    class Yielding:
        """Every point in the right half of the frame yields."""

        def crops_of(self, image: np.ndarray) -> list[Crop]:
            height, width = image.shape[:2]
            return [Crop(0, (height, width), (0, 0, width, height), 0, image)] * 5

        def find_yielding(
            self, crop: Crop, points_xy: np.ndarray
        ) -> tuple[SimpleNamespace, np.ndarray]:
            columns = torch.arange(8.0).repeat(8)[:, None]
            half_px = max(crop.size_hw) / 2
            return SimpleNamespace(embedding=columns), points_xy[:, 0] >= half_px

    sprites = bundled_sprites()[:3]
    rng = np.random.default_rng(5)
    features, yielding = train_scorer.sample_scene(rng, sprites, Yielding())
    assert features.shape == (64, 2 + PLACE)
    # Halfway between the cells of columns 3 and 4.
    np.testing.assert_array_equal(features[:, 0] >= 3.5, yielding)


def crop_samples(scenes: int) -> train_crops.CropSamples:
    """Scenes of two crops: one is missed, for one mask, where its first feature is over 0.5."""
    rng = np.random.default_rng(3)
    features = rng.random((scenes, 2, 3))
    first, second = (features[..., 0] > 0.5).astype(int).T
    lost = np.stack([first + second, first, second, 0 * first], axis=1)
    return train_crops.CropSamples(features, lost, np.full(scenes, 4))


def test_a_chooser_of_crops_learns_what_is_missed() -> None:
    samples = crop_samples(200)
    assert samples.adds.tolist() == (samples.features[..., 0] > 0.5).tolist()
    none, every = np.zeros((200, 2), bool), np.ones((200, 2), bool)
    assert samples.lose(every) == 0
    assert samples.lose(none) == samples.adds.sum() / 800
    logits = train_crops.score_held_out(samples)
    assert ((logits > 0) == samples.adds).mean() > 0.95
    exact = train_crops.choose_bound(samples, logits, 0.0)
    looser = train_crops.choose_bound(samples, logits, 0.05)
    assert exact == logits[samples.adds].min()
    assert exact < looser
    assert samples.lose(logits >= looser) <= 0.05
    chooser = train_crops.fit_chooser(samples)
    assert chooser.weights[0] > 10 * abs(chooser.weights[1:]).max()


def test_samples_of_crops_are_what_each_choice_of_them_loses() -> None:
    class Cropping:
        """The whole image shows nothing, the first crop a mask, the others nothing either."""

        def crops_of(self, image: np.ndarray) -> list[Crop]:
            return colour_segmenter(crop_n_layers=1).crops_of(image)

        def find_in_crop(self, crop: Crop) -> tuple[SimpleNamespace, list[Crop]]:
            return SimpleNamespace(), [crop]

        def join(self, parts: list[list[Crop]], *sizes: object) -> list[SimpleNamespace]:
            mask = np.zeros((4, 4), bool)
            mask[1:3] = True
            shown = [crop for (crop,) in parts if crop.layer and crop.box[:2] == (0, 0)]
            return [SimpleNamespace(rle=CocoRle.from_mask(mask)) for _ in shown]

        def measure_crops(self, *args: object) -> np.ndarray:
            return np.zeros((4, 8))

    samples = train_crops.sample_scene(np.random.default_rng(5), bundled_sprites()[:3], Cropping())
    assert samples.features.shape == (1, 4, 8)
    assert samples.masks.tolist() == [1]
    assert samples.lost.tolist() == [[1] * 8 + [0] * 8]
    assert samples.adds.tolist() == [[True, False, False, False]]
