"""What `clip_demo` is trained to tell apart, on crops and features that are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.demo.crops import CROP_PX, CUTOUT_FILL, junk_crops, training_crops
from pipeline.demo.train_clip import step_loss

CONCEPTS = 3
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
    return step_loss(learner(), images, ROWS[:CONCEPTS], own, true_of, own).item()


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
    red = objects[:, 0, 24:40, 24:40] > objects[:, 2, 24:40, 24:40] + 0.2
    assert (red.float().mean(dim=(1, 2)) > 0.9).float().mean() > 0.7
