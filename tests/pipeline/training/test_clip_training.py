"""What `clip_demo` is trained to tell apart, on crops and features that are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pipeline.training.found_crops
import pipeline.training.train_clip
from pipeline.demo.scenes import Scene, SceneObject
from pipeline.demo.sprites import STYLES, Concept, bundled_sprites
from pipeline.training.crops import (
    CROP_PX,
    CUTOUT_FILL,
    junk_crops,
    merge_or_cut,
    training_crops,
    turn_hues,
    vary_found_crops,
)
from pipeline.training.found_crops import CROP_SIDE_PX, FoundCrops, cut_block, match_objects
from pipeline.training.scene_cache import Art
from pipeline.training.train_clip import Batch, Batches, step_loss
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter

CONCEPTS = 3
EIGHTH = CROP_PX // 8
MIDDLE = slice(3 * EIGHTH, 5 * EIGHTH)
ROWS = torch.eye(4)


def learner() -> Any:
    """Images and texts that are their own features, and a vector for each concept."""
    clip = SimpleNamespace(
        encode_image=lambda images: images.flatten(1),
        encode_text=lambda tokens: tokens,
        logit_scale=torch.tensor(3.0),
    )
    return SimpleNamespace(clip=clip, vectors=nn.Embedding.from_pretrained(ROWS[:CONCEPTS]))


def loss_with(junk: Tensor, drawings: Tensor = ROWS[:CONCEPTS]) -> float:
    images = torch.cat([drawings, drawings, junk])[:, :, None, None]
    own = torch.arange(CONCEPTS)
    true_of = torch.eye(CONCEPTS, dtype=torch.bool)
    return step_loss(learner(), Batch(images, ROWS[:CONCEPTS], own, true_of, own)).item()


def test_what_is_no_object_should_be_like_nothing() -> None:
    alone, apart, alike = loss_with(ROWS[:0]), loss_with(ROWS[3:]), loss_with(ROWS[1:2])
    # A caption is shared by two drawings: half of ln 2 is the least.
    assert alone == pytest.approx(math.log(2) / 2, abs=1e-3)
    assert apart == pytest.approx(alone, abs=1e-3)
    assert alike > alone + 0.1
    assert loss_with(ROWS[:0], ROWS[[1, 0, 2]]) > 1


def sprites(count: int) -> Tensor:
    red = torch.zeros(count, 4, 96, 96)
    red[:, [0, 3]] = 1
    return red


def test_crops_show_objects_and_scraps_on_what_a_cutout_is_filled_with() -> None:
    generator = torch.Generator().manual_seed(0)
    objects = training_crops(sprites(40), sprites(80), generator)
    scraps = junk_crops(sprites(40), generator)
    for crops in (objects, scraps):
        assert crops.shape == (40, 3, CROP_PX, CROP_PX)
        assert 0 <= crops.min() < crops.max() <= 1
        corners = crops[..., :4, :4].mean(dim=(2, 3)) / torch.tensor(CUTOUT_FILL)
        filled = (corners.amax(dim=1) / corners.amin(dim=1)) < 1.05
        assert filled.float().mean() > 0.5
    red = objects[:, 0, MIDDLE, MIDDLE] > objects[:, 2, MIDDLE, MIDDLE] + 0.2
    # Some have another hue or none.
    assert (red.float().mean(dim=(1, 2)) > 0.9).float().mean() > 0.4


def test_found_crops_are_filled_like_the_others_and_keep_what_was_found() -> None:
    crops = vary_found_crops(sprites(40), torch.Generator().manual_seed(0))
    assert crops.shape == (40, 3, CROP_PX, CROP_PX)
    middle = crops[..., MIDDLE, MIDDLE].mean(dim=(2, 3))
    assert (middle.amax(dim=1) > 1.5 * middle.amin(dim=1)).float().mean() > 0.6
    nothing = vary_found_crops(torch.zeros(8, 4, 96, 96), torch.Generator().manual_seed(1))
    fill = nothing.mean(dim=(2, 3)) / torch.tensor(CUTOUT_FILL)
    assert (fill.amax(dim=1) / fill.amin(dim=1)).max() < 1.05


def test_a_found_mask_shows_an_object_no_object_or_cannot_be_told() -> None:
    concept = Concept("one", "one", ())
    square = np.zeros((40, 60), bool)
    square[10:30, 10:30] = True
    scene = Scene(np.zeros((40, 60, 3), np.uint8), (SceneObject(concept, "noto", square, 1.0),))

    def found(rows: slice, columns: slice) -> ObjectMask:
        mask = np.zeros((40, 60), bool)
        mask[rows, columns] = True
        scores = {"predicted_iou": 1.0, "stability_score": 1.0, "point_xy": (0.0, 0.0)}
        return ObjectMask.measure(CocoRle.from_mask(mask), **scores)

    whole, most, scrap = slice(10, 30), slice(10, 18), slice(10, 14)
    masks = [found(rows, slice(10, 30)) for rows in (whole, most, scrap)]
    assert match_objects(masks, scene) == [0, None, -1]
    assert match_objects(masks[:1], Scene(scene.image, ())) == [-1]
    assert match_objects([], scene) == []


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_batches_show_what_was_found_of_the_same_drawing(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.training.train_clip, "_FOUND_SHARE", share)
    concepts = [Concept(name, name, ()) for name in ("one", "two")]
    drawn = np.zeros((2, len(STYLES), 32, 32, 4), np.uint8)
    drawn[..., 3] = 255  # black squares
    seen = np.ones((2, len(STYLES)), bool)
    found = np.zeros((2 * len(STYLES) + 1, 4, 96, 96), np.uint8)
    found[:] = 255  # white ones
    rows = np.array([*np.repeat([0, 1], len(STYLES)), -1], np.int16)
    columns = np.array([*np.tile(range(len(STYLES)), 2), -1], np.int16)
    art = Art(concepts, list(STYLES), drawn, seen, ~seen, len(concepts))
    images = Batches(art, FoundCrops(found, rows, columns)).draw().images
    assert len(images) > 5  # two drawings of each concept, then no objects
    dark = (images[..., MIDDLE, MIDDLE].mean(dim=1) < 0.3).float().mean(dim=(1, 2)) > 0.5
    assert dark[:4].all() if share == 0 else not dark.any()


def test_turned_hues_keep_lightness_and_how_colourful_it_is() -> None:
    colour = torch.randn(200, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    colour = colour - colour.mean(dim=1, keepdim=True)
    turned = turn_hues(colour, torch.Generator().manual_seed(3))
    assert turned.mean(dim=1).abs().max() < 1e-5
    torch.testing.assert_close(turned.norm(dim=1), colour.norm(dim=1))
    moved = (turned - colour).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 0.3 < moved.float().mean() < 0.7


@pytest.mark.long
def test_what_is_found_in_a_scene_is_cut_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    options = SegmenterOptions(device="cpu", points_per_side=6, crop_n_layers=0)
    sprites = bundled_sprites()
    monkeypatch.setattr(pipeline.training.found_crops, "_BLOCK", 1)
    monkeypatch.setattr(pipeline.training.found_crops, "_sprites", sprites)
    monkeypatch.setattr(pipeline.training.found_crops, "_segmenters", [build_segmenter(options)])
    rows = cut_block(3, 0)
    drawings = {(sprite.concept.name, sprite.style) for sprite in sprites}
    assert any(name for _, name, _ in rows)
    for crop, name, style in rows:
        assert crop.shape == (4, CROP_SIDE_PX, CROP_SIDE_PX)
        assert crop.dtype == np.uint8
        assert (name, style) in drawings or name == style == ""
        alpha = crop[3]
        assert alpha.min() == 0
        assert alpha.max() == 255
        # Premultiplied: nothing shines where the mask is not, but for what resizing overshoots.
        assert (crop[:3].astype(int) <= alpha.astype(int) + 40).all()


def test_some_masks_take_their_neighbour_in_or_lose_a_part() -> None:
    visible = torch.zeros(400, 1, CROP_PX, CROP_PX)
    visible[:, :, EIGHTH : 7 * EIGHTH, EIGHTH : 5 * EIGHTH] = 1
    neighbour = torch.zeros_like(visible)
    neighbour[:, :, 3 * EIGHTH : 4 * EIGHTH, 6 * EIGHTH :] = 1
    changed = merge_or_cut(visible, neighbour, torch.Generator().manual_seed(4))
    joined = (changed * neighbour).amax(dim=(1, 2, 3)) > 0
    kept = (changed * visible).sum(dim=(1, 2, 3)) / visible.sum(dim=(1, 2, 3))
    assert 0.08 < joined.float().mean() < 0.22
    assert 0.12 < (kept < 1).float().mean() < 0.3
    assert kept.min() > 0.3
    assert torch.equal(changed[(kept == 1) & ~joined], visible[(kept == 1) & ~joined])
