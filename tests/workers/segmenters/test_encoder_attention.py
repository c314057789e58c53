"""The encoder with fused attention gives the embedding that segment-anything's gives."""

from __future__ import annotations

import copy

import pytest
import torch
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor, nn

from bench.bundled import bundled_sam
from bench.mask_bank import wide_sam
from workers.models.threads import use_single_thread
from workers.segmenters import encoder_attention, encoder_attention_kernel
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import COLUMNS
from workers.segmenters.encoder_attention import FusedAttention, fuse_attention
from workers.segmenters.encoder_attention_kernel import can_attend, choose_block


def seeded(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small_attention() -> tuple[Attention, Tensor]:
    """Of 9 x 12 places, with large relative positions, and two frames for it."""
    attention = Attention(24, num_heads=3, use_rel_pos=True, input_size=(9, 12)).eval()
    with torch.no_grad():
        for number, weights in enumerate(attention.parameters()):
            weights.copy_(seeded(*weights.shape, seed=number) / 2)
    return attention, seeded(2, 9, 12, 24, seed=99)


def test_fused_attention_gives_the_same_embedding() -> None:
    encoder = wide_sam().image_encoder
    for name, weights in encoder.named_parameters():
        if "rel_pos" in name or "qkv" in name:
            weights.data = seeded(*weights.shape, seed=1)
    frames = seeded(1, 3, 1024, 1024, seed=2)
    fused = fuse_attention(copy.deepcopy(encoder))
    assert all(isinstance(block.attn, FusedAttention) for block in fused.blocks)
    with torch.inference_mode():
        torch.testing.assert_close(fused(frames), encoder(frames), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("most_scores", [1, 2 * 12 * 108, 10**9], ids=["row", "rows", "kernel"])
def test_however_many_rows_at_once_attention_is_the_same(
    most_scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_attention, "_SCORES_IN_CACHE", most_scores)
    monkeypatch.setattr(encoder_attention, "can_attend", lambda x: False)
    attention, places = small_attention()
    with torch.inference_mode():
        found = FusedAttention(attention, (9, 12))(places)
        torch.testing.assert_close(found, attention(places), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 3], ids=["a block", "blocks"])
def test_the_compiled_loop_gives_the_same_attention(
    blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_attention, "_SCORES_IN_CACHE", 0)
    size = -(-108 // (blocks * COLUMNS)) * COLUMNS  # 108 places are no whole number of blocks
    monkeypatch.setattr(encoder_attention_kernel, "choose_block", lambda places: size)
    attention, places = small_attention()
    with use_single_thread(), torch.inference_mode():
        assert can_attend(places)
        found = FusedAttention(attention, (9, 12))(places)
        torch.testing.assert_close(found, attention(places), rtol=1e-5, atol=1e-5)


def test_a_block_leaves_few_queries_unused() -> None:
    assert choose_block(10 * COLUMNS) == 10 * COLUMNS
    assert choose_block(10 * COLUMNS - 1) == 10 * COLUMNS
    assert choose_block(2**14) == COLUMNS  # of so many keys no two rows of vectors fit
    padded = -784 % choose_block(784)
    assert padded <= 16


def test_the_loop_is_for_a_single_thread_in_float32_without_gradients() -> None:
    x = torch.zeros(1)
    with use_single_thread():
        assert not can_attend(x)
        with torch.inference_mode():
            assert can_attend(x)
            assert not can_attend(x.bfloat16())
            torch.set_num_threads(2)
            assert not can_attend(x)


def test_the_bundled_encoder_is_fused_and_gives_the_same_embedding() -> None:
    encoder = bundled_sam().image_encoder.eval()
    fused = fuse_attention(copy.deepcopy(encoder))
    assert sum(isinstance(module, FusedAttention) for module in fused.modules()) == 6
    frames = seeded(1, 3, 448, 448, seed=3)
    with torch.inference_mode():
        torch.testing.assert_close(fused(frames), encoder(frames), rtol=1e-4, atol=1e-4)


def test_another_encoder_stays_as_it_is() -> None:
    encoder = nn.Conv2d(3, 4, 1)
    assert fuse_attention(encoder) is encoder
