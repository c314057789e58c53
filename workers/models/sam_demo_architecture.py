"""Builds `sam_demo`: segment-anything's own `Sam`, narrower, with a small image encoder.

The image encoder is a convolutional pyramid that ends at stride 8 (segment-anything's ViT: 16), so
that small objects and borders survive; the decoder's low-resolution masks then lie at stride 2.
At its top, stride 32, and again at stride 16 on the way down, blocks of segment-anything's ViT let
every position see the whole frame: its surroundings alone do not show which parts make one object.
"""

from __future__ import annotations

import math

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.image_encoder import Block
from torch import Tensor, nn
from torch.nn import functional

IMG_SIZE = 448
STRIDE = 8
EMBED_DIM = 96
_WIDTHS = (48, 96, 160, 224)  # channels at stride 4, 8, 16, 32
_IOU_HEAD_DIM = 192
# Frequencies of the random position encoding, relative to segment-anything's. At its own scale two
# points an eighth of the frame apart are alike to 0.6; with few dimensions the decoder then learns
# slowly where a point is.
_PE_SCALES = (1.0, 7.0)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """A bottleneck of two 3x3 convolutions at half the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.body = nn.Sequential(
            _conv(width, inner, 1), nn.ReLU(), _conv(inner, inner, 3), nn.ReLU(),
            _conv(inner, inner, 3), nn.ReLU(), _conv(inner, width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    residuals = (Residual(outputs) for _ in range(blocks))
    return nn.Sequential(_conv(inputs, outputs, 3, 2), nn.ReLU(), *residuals)


class GlobalBlocks(nn.Sequential):
    """segment-anything's ViT blocks on (n, width, side, side)."""

    def __init__(self, width: int, side: int, blocks: int) -> None:
        shape = {"use_rel_pos": True, "input_size": (side, side)}
        super().__init__(*(Block(width, num_heads=4, mlp_ratio=2, **shape) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in self:
            x = block(x)
        return x.permute(0, 3, 1, 2)


class DemoImageEncoder(nn.Module):
    """float (n, 3, height, width), normalised, to (n, 96, height / 8, width / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.img_size = IMG_SIZE  # read by segment-anything's preprocessing
        w4, w8, w16, w32 = _WIDTHS
        self.stem = nn.Sequential(_conv(3, w4, 7, 4), nn.ReLU(), Residual(w4), Residual(w4))
        self.down8 = _stage(w4, w8, blocks=3)
        self.down16 = _stage(w8, w16, blocks=4)
        self.down32 = _stage(w16, w32, blocks=7)
        self.global32 = GlobalBlocks(w32, IMG_SIZE // 32, blocks=3)
        self.side32 = nn.Conv2d(w32, w16, 1)
        self.merge16 = nn.Sequential(Residual(w16), Residual(w16), Residual(w16))
        self.global16 = GlobalBlocks(w16, IMG_SIZE // 16, blocks=3)
        self.side16 = nn.Conv2d(w16, w8, 1)
        self.side4 = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * w4, w8, 1))
        self.merge8 = nn.Sequential(*(Residual(w8) for _ in range(6)))
        # The norm keeps the embedding as large as the position encoding that is added to it.
        self.neck = nn.Conv2d(w8, EMBED_DIM, 1)
        self.norm = LayerNorm2d(EMBED_DIM)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        x4 = self.stem(x)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x32 = self.global32(self.down32(x16))
        x16 = self.global16(self.merge16(x16 + _double(self.side32(x32))))
        x8 = self.merge8(x8 + _double(self.side16(x16)) + self.side4(x4))
        embedding: Tensor = self.norm(self.neck(x8))
        return embedding


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def build_sam_demo(mask_channels: int = 8) -> Sam:
    """`Sam` for 448-pixel images with random weights.

    mask_channels: those of a mask prompt on its way to the embedding's. With 8 the first norm has
    two to work on, after which a logit's sign is all that is left; 16 are segment-anything's own.
    """
    side = IMG_SIZE // STRIDE
    sam = Sam(
        image_encoder=DemoImageEncoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBED_DIM,
            image_embedding_size=(side, side),
            input_image_size=(IMG_SIZE, IMG_SIZE),
            mask_in_chans=mask_channels,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBED_DIM, mlp_dim=256, num_heads=4
            ),
            transformer_dim=EMBED_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=_IOU_HEAD_DIM,
        ),
    )
    frequencies = sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    low, high = (math.log10(scale) for scale in _PE_SCALES)
    frequencies *= torch.logspace(low, high, EMBED_DIM // 2)
    return sam
