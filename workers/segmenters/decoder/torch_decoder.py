"""Decodes masks in PyTorch: the reference, on any device, in any type, differentiable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor

from workers.segmenters.decoder.contour import Levels
from workers.segmenters.decoder.cross_attention import CrossAttention, TorchCrossAttention
from workers.segmenters.decoder.image_tokens import (
    FactoredImageTokens,
    ImageStage,
    compute_stages,
)
from workers.segmenters.decoder.two_way_transformer import run_transformer
from workers.segmenters.decoder.upscaling import (
    compute_logits,
    compute_mask_weights,
    upscale_base,
    upscale_rows,
    upscale_tokens,
)

BoolMatrix = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What is computed of an image once for all of its prompts.

    Masks are computed of its first `used` image tokens, all if None.
    """

    decoder: MaskDecoder
    stages: Sequence[ImageStage]
    start_attention: Callable[[], CrossAttention]
    used: int | None

    @cached_property
    def upscaled_base(self) -> Tensor:
        """See `upscale_base`; not computed for an image of which no mask is wanted."""
        return upscale_base(self.decoder, self.stages[-1])[:, : self.used].contiguous()


@dataclass(frozen=True, slots=True, eq=False)
class DecoderState:
    """What the transformer makes of n prompts: any of their masks follow from it.

    tokens float32 (n, 1 + 3, c), the IoU's and those of the multimask outputs; predicted_iou
    float32 (n, 3); image_tokens of one or several prompts each.
    """

    tokens: Tensor
    predicted_iou: Tensor
    image_tokens: Sequence[FactoredImageTokens]
    image: PreparedImage


class TorchDecoder:
    """SAM's mask decoder for square frames.

    position (h * w, c) is the position encoding of the image tokens, `heads` what predicts the IoU
    and the masks' weights from the tokens: the decoder itself, or one of higher precision.
    """

    def __init__(
        self, decoder: MaskDecoder, position: Tensor, heads: MaskDecoder | None = None
    ) -> None:
        self.columns = math.isqrt(len(position))
        self._decoder, self._position, self._heads = decoder, position, heads or decoder

    def prepare(self, image: Tensor, rows: int | None = None) -> PreparedImage:
        """image (h * w, c): with the embedding of no mask prompt. rows: the first, to have masks.

        The result takes several times the memory of the image, so do it at the first prompt.
        """
        stages = compute_stages(self._decoder, image, self._position)
        used = None if rows is None else rows * self.columns
        return PreparedImage(self._decoder, stages, self._attention_of(stages), used)

    def attend(self, prompts: Tensor, image: PreparedImage) -> DecoderState:
        """prompts (n, t, c), the prompt encoder's tokens."""
        tokens, image_tokens = run_transformer(self._decoder, image.start_attention(), prompts)
        tokens = tokens.float()
        predicted_iou = self._heads.iou_prediction_head(tokens[:, 0])[:, 1:]
        return DecoderState(tokens, predicted_iou, image_tokens, image)

    def low_res_logits(
        self, state: DecoderState, chosen: BoolMatrix, levels: Levels | None = None
    ) -> Tensor:
        """Those of the masks in bool (n, 3), in order: float32 (m, 4 * rows, 4 * columns).

        levels: allow an implementation to compute only those near a contour, see `contour`; here
        all are computed.
        """
        mask_weights = self._mask_weights(state)
        all_chosen = torch.from_numpy(chosen).to(mask_weights.device)
        logits, start = [], 0
        for image_tokens in state.image_tokens:
            group = slice(start, start + len(image_tokens))
            start = group.stop
            wanted = all_chosen[group].any(dim=1)
            if not wanted.any():
                continue
            cells = self._cells(
                image_tokens.select(wanted), mask_weights[group][wanted], state.image
            )
            cells = torch.unflatten(cells[all_chosen[group][wanted]], 1, (-1, self.columns))
            logits.append(cells.transpose(2, 3).flatten(3, 4).flatten(1, 2))
        return torch.cat(logits).float()

    def _cells(
        self, image_tokens: FactoredImageTokens, mask_weights: Tensor, image: PreparedImage
    ) -> Tensor:
        """The logits of 4 x 4 pixels an image token: (n, m, p, 4, 4)."""
        upscaled = upscale_tokens(self._decoder, image_tokens, image.upscaled_base)
        return compute_logits(self._decoder, upscaled, mask_weights)

    def cell_logits(self, state: DecoderState, cells: Tensor) -> Tensor:
        """Those of some image tokens only, int64 (n, k), each 4 x 4 pixels: (n, 3, k, 4, 4)."""
        rows = torch.cat([image_tokens.to_rows() for image_tokens in state.image_tokens])
        chosen = rows.gather(1, cells[..., None].expand(-1, -1, rows.shape[-1]))
        upscaled = upscale_rows(self._decoder, chosen)
        return compute_logits(self._decoder, upscaled, self._mask_weights(state))

    def _attention_of(self, stages: Sequence[ImageStage]) -> Callable[[], CrossAttention]:
        """What starts the cross-attention of a prompt or several."""
        return partial(TorchCrossAttention, stages)

    def _mask_weights(self, state: DecoderState) -> Tensor:
        weights = compute_mask_weights(self._heads, state.tokens)
        return weights.to(self._position.dtype)
