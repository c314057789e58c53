"""The training of the decoder for prompts, where it can be held against something known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.training.prompt_decoder import decode, embed_mask, embed_points
from pipeline.training.prompt_samples import (
    BOTTOM_RIGHT,
    NEGATIVE,
    PADDING,
    POSITIVE,
    TOP_LEFT,
    sample_box,
    sample_correction,
)
from pipeline.training.train_prompts import PromptParts, Trainer
from workers.models import catalog
from workers.models.sam_demo_architecture import EMBED_DIM, IMG_SIZE, STRIDE, build_sam_demo
from workers.models.weights import fill, read_weights

SIDE = IMG_SIZE // STRIDE
ALL = slice(0, 4)


@pytest.fixture(scope="module")
def parts() -> PromptParts:
    return PromptParts()


@torch.no_grad()
def test_masks_of_prompts_are_the_packages(parts: PromptParts) -> None:
    torch.manual_seed(0)
    encoder, decoder = parts.prompt_encoder, parts.mask_decoder
    image = torch.randn(SIDE**2, EMBED_DIM)
    points, boxes = torch.rand(2, 2, 2) * IMG_SIZE, torch.rand(2, 4) * IMG_SIZE
    earlier = torch.randn(2, 1, 4 * SIDE, 4 * SIDE)
    nothing = torch.zeros(2, 1, 2)
    labels = torch.tensor([[1, 0], [1, 1]])
    kinds = torch.tensor([[POSITIVE, NEGATIVE], [POSITIVE, POSITIVE]])
    corners = torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]]).expand(2, -1)
    padding = torch.full((2, 1), PADDING)
    ours = {
        "padded": (torch.cat([points, nothing], dim=1), torch.cat([kinds, padding], dim=1)),
        "boxed": (
            torch.cat([points, boxes.reshape(2, 2, 2)], dim=1),
            torch.cat([kinds, corners], dim=1),
        ),
    }
    for name, mask in (("padded", None), ("boxed", earlier)):
        sparse, dense = encoder(
            points=(points, labels), boxes=boxes if name == "boxed" else None, masks=mask
        )
        grid = image.mT.reshape(1, EMBED_DIM, SIDE, SIDE)
        wanted = decoder.predict_masks(grid, encoder.get_dense_pe(), sparse, dense)
        prompts, prior = embed_points(encoder, *ours[name]), embed_mask(encoder, mask)
        got = decode(decoder, encoder, image, prompts, prior, ALL)
        torch.testing.assert_close(got[0], wanted[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(got[1], wanted[1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_it_starts_as_what_is_bundled(parts: PromptParts) -> None:
    torch.manual_seed(0)
    bundled = build_sam_demo()
    fill(bundled, read_weights(catalog.bundled_path(catalog.find("sam_demo"))), "sam_demo")
    image = torch.randn(SIDE**2, EMBED_DIM)
    point, kind = torch.tensor([[[90.0, 200.0], [0, 0]]]), torch.tensor([[POSITIVE, PADDING]])
    answers = []
    for encoder, decoder in (
        (bundled.prompt_encoder, bundled.mask_decoder),
        (parts.prompt_encoder, parts.mask_decoder),
    ):
        sparse = embed_points(encoder, point, kind)
        answers.append(decode(decoder, encoder, image, sparse, embed_mask(encoder, None), ALL)[0])
    # Of the four outputs the first, which was never trained, is exchanged for the third.
    torch.testing.assert_close(answers[1][:, [2, 1, 0, 3]], answers[0], atol=1e-4, rtol=1e-4)
    earlier = embed_mask(parts.prompt_encoder, torch.randn(1, 1, 4 * SIDE, 4 * SIDE))
    nothing = embed_mask(parts.prompt_encoder, None)
    torch.testing.assert_close(earlier, nothing.expand(-1, SIDE**2, -1).contiguous())


def test_boxes_are_off_by_half_of_the_object_at_most_and_in_the_image() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((100, 100), np.bool_)
    mask[40:60, 2:42] = True
    size = np.array([40, 20])
    exact = np.array([[2, 40], [42, 60]])
    boxes = np.array([sample_box(rng, mask, (80, 100)) for _ in range(400)])
    off = (boxes - exact) / size * [[-1], [1]]
    assert (boxes[:, 0] >= 0).all()
    assert (boxes[:, 1] <= [100, 80]).all()
    assert off.max() <= 0.5
    assert off.min() >= -0.1
    assert 0.1 < (off == 0).all(axis=(1, 2)).mean() < 0.3
    assert off[:, 1, 0].max() > 0.45
    assert off[:, 0, 0].max() == pytest.approx(0.05)  # the image's edge is 2 px away


def test_corrections_lie_on_what_is_wrong() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((50, 50), np.bool_)
    truth[10:30, 10:30] = True
    mask = truth.copy()
    mask[10:16, 10:30] = False
    mask[40:44, 40:44] = True
    for _ in range(20):
        (x, y), kind = sample_correction(rng, mask, truth, 2)
        assert kind == POSITIVE
        assert 20 <= y < 32
        assert 20 <= x < 60
        (x, y), kind = sample_correction(rng, mask | truth, truth, 2)
        assert kind == NEGATIVE
        assert 80 <= min(x, y) <= max(x, y) < 88
    (x, y), kind = sample_correction(rng, truth, truth, 2)
    assert kind == POSITIVE
    assert truth[int(y / 2), int(x / 2)]


def test_a_round_teaches_every_part() -> None:
    parts = PromptParts()
    trainer = Trainer(parts, np.random.default_rng(2), bf16=False)
    ids = torch.zeros(IMG_SIZE, IMG_SIZE, dtype=torch.uint8)
    ids[100:220, 150:300] = 1
    sample = {
        "ids": ids,
        "targets": torch.tensor([1, 1], dtype=torch.uint8),
        "coordinates": torch.tensor([[[200.0, 150.0], [0, 0]], [[150.0, 100.0], [300.0, 220.0]]]),
        "kinds": torch.tensor([[POSITIVE, PADDING], [TOP_LEFT, BOTTOM_RIGHT]]),
    }
    image = torch.stack([ids, ids, ids])[None] * 200
    embedding = trainer.embed(image)
    assert embedding.shape == (1, SIDE**2, EMBED_DIM)
    ious = trainer.learn(embedding[0].clone(), sample, 3, 1.0)
    assert ious.shape == (3,)
    assert ((ious >= 0) & (ious <= 1)).all()
    without = [name for name, weight in parts.named_parameters() if weight.grad is None]
    assert without == []
