"""Computes the cross-attention of prompt and image tokens in kernels of Triton, on CUDA.

What `cross_attention` does in a dozen passes over tensors of 56 x 4,096 numbers a prompt and more
is done here for some image tokens at a time, in registers. Attention to the image keeps running
sums of its softmax (M. Milakov and N. Gimelshein, Online normalizer calculation for softmax, 2018).
Scores, sums and norms are float32, products take what the model computes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.segmenters.decoder.gpu_kernels import attention_kernels
from workers.segmenters.decoder.image_tokens import (
    FactoredImageTokens,
    ImageStage,
    ProjectedImage,
    append_one,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Queries:
    """Prompt tokens' queries or keys, and their products with the residuals of image tokens.

    rows (n, heads, t, d); on_residuals (n, heads * t, r), without residuals (n, heads * t, 0).
    """

    rows: Tensor
    on_residuals: Tensor

    @staticmethod
    def of(rows: Tensor, image: ProjectedImage, before: FactoredImageTokens | None) -> _Queries:
        rows = rows.contiguous()
        if before is None:
            return _Queries(rows, rows.new_empty(len(rows), rows.shape[1] * rows.shape[2], 0))
        projected = (rows @ image.weight).flatten(1, 2)
        return _Queries(rows, (projected @ before.residuals.mT).contiguous())


class GpuCrossAttention:
    """See `CrossAttention`."""

    def __init__(self, stages: Sequence[ImageStage]) -> None:
        self._stages = iter(stages)
        self._stage = next(self._stages)
        self._before: FactoredImageTokens | None = None

    def attend(self, queries: Tensor) -> Tensor:
        stage, before = self._stage, self._before
        asked = _Queries.of(queries, stage.keys, before)
        of_base, of_residuals = attention_kernels.attend(
            asked.rows, asked.on_residuals, stage.keys, stage.values, before
        )
        out = of_base + stage.value_bias
        if before is None:
            return out
        residual = torch.unflatten(of_residuals @ before.residuals, 1, queries.shape[1:3])
        return out + residual @ stage.value_weight.mT

    def update_and_attend(self, keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
        self._before = self._update(keys, values, next(self._stages))
        self._stage = self._before.stage
        return self.attend(queries)

    def image_tokens(self) -> Sequence[FactoredImageTokens]:
        assert self._before is not None
        return [self._before]

    def _update(self, keys: Tensor, values: Tensor, after: ImageStage) -> FactoredImageTokens:
        before, image = self._before, self._stage.queries
        assert image is not None
        all_values = append_one(values)
        if before is not None:
            all_values = torch.cat([before.values, all_values], dim=1)
        residuals = (all_values @ after.value_to_residual).flatten(1, 2)
        asking = _Queries.of(keys, image, before)
        shares, base_share, scale = attention_kernels.update(
            asking.rows, asking.on_residuals, image, before, residuals, after
        )
        return FactoredImageTokens(
            after, scale, base_share, shares, all_values, residuals * after.gain
        )
