"""The factored mask decoder computes what segment-anything's computes."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import PromptEncoder
from support.small_decoder import small_decoder

from workers.segmenters.decoder.cross_attention import TorchCrossAttention
from workers.segmenters.decoder.image_tokens import compute_stages
from workers.segmenters.decoder.two_way_transformer import run_transformer
from workers.segmenters.decoder.upscaling import (
    compute_logits,
    compute_mask_weights,
    upscale_base,
    upscale_rows,
    upscale_tokens,
)

SIDE = 12


@pytest.mark.parametrize(("width", "heads"), [(256, 8), (96, 4)])
@pytest.mark.parametrize("box", [False, True])
def test_tokens_and_gradients_are_the_packages(width: int, heads: int, box: bool) -> None:
    decoder, size = small_decoder(width, heads), (SIDE, SIDE)
    encoder = PromptEncoder(width, size, (8 * SIDE, 8 * SIDE), 8)
    corners = torch.rand(5, 4) * 8 * SIDE
    points = None if box else (corners.reshape(5, 2, 2), torch.tensor([[1, 0]] * 5))
    sparse, dense = encoder(points=points, boxes=corners if box else None, masks=None)
    embedding, position = torch.randn(1, width, *size), encoder.get_dense_pe()
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(5, -1, -1), sparse], dim=1)

    image, encoding = embedding + dense, position.expand_as(dense)
    all_tokens, image_tokens = decoder.transformer(image, encoding, tokens)
    wanted = all_tokens[:, [0, 2, 3, 4]], image_tokens
    rows = (x[:1].flatten(2)[0].T for x in (image, position))
    attention = TorchCrossAttention(compute_stages(decoder, *rows))
    tokens, groups = run_transformer(decoder, attention, sparse)
    found = tokens, torch.cat([group.to_rows() for group in groups])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)

    weights = list(decoder.transformer.parameters())
    losses = [tokens.sin().sum() + rows.cos().sum() for tokens, rows in (found, wanted)]
    ours, theirs = (
        torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True) for loss in losses
    )
    for weight, gradient, expected_gradient in zip(weights, ours, theirs, strict=True):
        # A bias of keys moves no result: the package computes a gradient of rounding errors.
        gradient = torch.zeros_like(weight) if gradient is None else gradient
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("prompts", [1, 3])
def test_inference_computes_what_training_does(prompts: int) -> None:
    decoder, image = small_decoder(256, 8), torch.randn(SIDE**2, 256)
    sparse, position = torch.randn(prompts, 2, 256), torch.randn(SIDE**2, 256)

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        stages = compute_stages(decoder, image, position)
        tokens, groups = run_transformer(decoder, TorchCrossAttention(stages), sparse)
        base = upscale_base(decoder, stages[-1])[:, : SIDE * 7]
        halves = torch.cat([upscale_tokens(decoder, group, base) for group in groups])
        rows = torch.cat([group.to_rows() for group in groups])[:, : SIDE * 7]
        torch.testing.assert_close(halves, upscale_rows(decoder, rows))
        return tokens, compute_logits(decoder, halves, compute_mask_weights(decoder, tokens))

    wanted = compute()
    with torch.inference_mode():
        found = compute()
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_logits_are_those_of_upscaled_tokens_each_on_its_own() -> None:
    decoder, rows = small_decoder(64, 4), torch.randn(3, SIDE**2, 64)
    tokens = torch.randn(3, 5, 64)
    networks = decoder.output_hypernetworks_mlps
    weights = torch.stack([networks[i](tokens[:, 1 + i]) for i in (1, 2, 3)], dim=1)
    used = compute_mask_weights(decoder, tokens[:, [0, 2, 3, 4]])
    torch.testing.assert_close(used, weights)
    upscaled = decoder.output_upscaling(rows.mT.unflatten(2, (SIDE, SIDE)))
    wanted = (weights @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
    found = compute_logits(decoder, upscale_rows(decoder, rows), used)
    cells = found.unflatten(2, (SIDE, SIDE)).transpose(3, 4)
    torch.testing.assert_close(cells.flatten(4, 5).flatten(2, 3), wanted)
    upscaled_part = upscale_rows(decoder, rows[:, 7:9])
    torch.testing.assert_close(compute_logits(decoder, upscaled_part, used), found[:, :, 7:9])
