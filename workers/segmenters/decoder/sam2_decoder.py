"""Decodes SAM 2's masks with SAM's decoder: same transformer, finer features in the upscaling.

transformers' `Sam2MaskDecoder` has SAM's two-way transformer under other names, with one token more
that says whether there is an object; tokens have no order, so that it may stand among a prompt's.
Its upscaling adds what the encoder saw at a half and a quarter of the image tokens' stride.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor

from workers.segmenters.decoder.cpu_kernels.attention import (
    BlockCrossAttention,
    block_size,
    split_stage,
)
from workers.segmenters.decoder.cross_attention import CrossAttention
from workers.segmenters.decoder.image_tokens import FactoredImageTokens, ImageStage
from workers.segmenters.decoder.torch_decoder import (
    DecoderState,
    PreparedImage,
    TorchDecoder,
)
from workers.segmenters.decoder.upscaling import compute_logits, upscale_tokens

_MLP_LAYERS = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}
_RENAMED = (
    ("layer_norm_final_attn", "norm_final_attn"),
    ("layer_norm", "norm"),
    ("o_proj", "out_proj"),
    ("mlp.proj_in", "mlp.lin1"),
    ("mlp.proj_out", "mlp.lin2"),
)
_UPSCALING = {
    "upscale_conv1": "output_upscaling.0",
    "upscale_layer_norm": "output_upscaling.1",
    "upscale_conv2": "output_upscaling.3",
}


def to_sam_decoder(theirs: Any) -> MaskDecoder:
    """SAM's `MaskDecoder` with the weights of a `Sam2MaskDecoder`, but for its object score."""
    config = theirs.config
    ours = MaskDecoder(
        transformer_dim=config.hidden_size,
        transformer=TwoWayTransformer(
            depth=config.num_hidden_layers,
            embedding_dim=config.hidden_size,
            num_heads=config.num_attention_heads,
            mlp_dim=config.mlp_dim,
            attention_downsample_rate=config.attention_downsample_rate,
        ),
        num_multimask_outputs=config.num_multimask_outputs,
        iou_head_depth=config.iou_head_depth,
        iou_head_hidden_dim=config.iou_head_hidden_dim,
    )
    ours.load_state_dict(dict(_rename(theirs.state_dict())))
    ours.eval().requires_grad_(False)
    return ours


def _rename(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in weights.items():
        if name.startswith(("conv_s", "obj_score", "pred_obj_score")):
            continue
        module, _, rest = name.partition(".")
        if module in _UPSCALING:
            yield f"{_UPSCALING[module]}.{rest}", value
        elif module == "transformer":
            for old, new in _RENAMED:
                name = name.replace(old, new, 1)
            yield name, value
        elif module in ("output_hypernetworks_mlps", "iou_prediction_head"):
            layer = next(old for old in _MLP_LAYERS if f".{old}." in name)
            yield name.replace(f".{layer}.", f".{_MLP_LAYERS[layer]}.", 1), value
        else:
            yield name, value


@dataclass(frozen=True, eq=False)
class FinePreparedImage(PreparedImage):
    """halves (p, 2 * 2 * c / 4) and quarters (p * 2 * 2, 2 * 2 * c / 8): finer features, of the
    image tokens that are used.
    """

    halves: Tensor
    quarters: Tensor


def split_halves(features: Tensor, rows: int) -> Tensor:
    """float (d, 2 * h, 2 * w) to those of the first rows' tokens, (rows * w, 2 * 2 * d)."""
    depth, height, width = features.shape
    cells = features.reshape(depth, height // 2, 2, width // 2, 2)[:, :rows]
    return cells.permute(1, 3, 2, 4, 0).flatten(2).flatten(0, 1)


def split_quarters(features: Tensor, rows: int) -> Tensor:
    """float (d, 4 * h, 4 * w) to those of the halves of tokens, (rows * w * 2 * 2, 2 * 2 * d)."""
    depth, height, width = features.shape
    cells = features.reshape(depth, height // 4, 2, 2, width // 4, 2, 2)[:, :rows]
    return cells.permute(1, 4, 2, 5, 3, 6, 0).flatten(4).flatten(0, 3)


class Sam2Decoder(TorchDecoder):
    """`TorchDecoder` for SAM 2. `object_token` (1, c) says whether there is an object."""

    def __init__(
        self,
        decoder: MaskDecoder,
        position: Tensor,
        object_token: Tensor,
        heads: MaskDecoder | None = None,
    ) -> None:
        super().__init__(decoder, position, heads)
        self._object_token = object_token
        plain = position.device.type == "cpu" and position.dtype == torch.float32
        self._has_kernel = plain and block_size(len(position)) is not None

    def prepare_fine(
        self, image: Tensor, fine: tuple[Tensor, Tensor], rows: int
    ) -> FinePreparedImage:
        """As `prepare`; `fine` float (d, ...) at four and two times the tokens' resolution."""
        prepared = self.prepare(image, rows)
        quarters, halves = fine
        return FinePreparedImage(
            prepared.decoder,
            prepared.stages,
            prepared.start_attention,
            prepared.used,
            split_halves(halves, rows),
            split_quarters(quarters, rows),
        )

    def attend(self, prompts: Tensor, image: PreparedImage) -> DecoderState:
        """See `TorchDecoder`. SAM 2 predicts its IoU through a sigmoid."""
        object_token = self._object_token.expand(len(prompts), 1, -1).to(prompts.dtype)
        state = super().attend(torch.cat([prompts, object_token], dim=1), image)
        return replace(state, predicted_iou=state.predicted_iou.sigmoid())

    def _cells(
        self, image_tokens: FactoredImageTokens, mask_weights: Tensor, image: PreparedImage
    ) -> Tensor:
        assert isinstance(image, FinePreparedImage)
        upscaled = upscale_tokens(self._decoder, image_tokens, image.upscaled_base)
        return compute_logits(self._decoder, upscaled + image.halves, mask_weights, image.quarters)

    def _attention_of(self, stages: Sequence[ImageStage]) -> Callable[[], CrossAttention]:
        if not self._has_kernel:
            return super()._attention_of(stages)
        return partial(BlockCrossAttention, [split_stage(stage) for stage in stages])
