"""Computes cross-attention on a CPU with compiled kernels, a block of image tokens at a time.

What several prompts share of a block is fetched from memory once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workers.segmenters.decoder.cpu_kernels.attention_kernels import (
    AttentionSums,
    FactorBlocks,
    StageBlocks,
    TokenInputs,
    attend_to_image,
    update_and_attend,
)
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import COLUMNS
from workers.segmenters.decoder.cpu_kernels.upscaling import PromptFactors
from workers.segmenters.decoder.image_tokens import (
    FactoredImageTokens,
    ImageStage,
    ProjectedImage,
    append_one,
)

Float32s = npt.NDArray[np.float32]
_MAX_BLOCK = 256


def block_size(image_tokens: int) -> int | None:
    """Image tokens of a block, such that blocks are whole; None if there is no such size."""
    sizes = range(_MAX_BLOCK - _MAX_BLOCK % COLUMNS, 0, -COLUMNS)
    return next((size for size in sizes if image_tokens % size == 0), None)


@dataclass(frozen=True, slots=True, eq=False)
class BlockedStage:
    """A stage of an image, and its numbers by blocks."""

    stage: ImageStage
    blocks: StageBlocks


def split_stage(stage: ImageStage) -> BlockedStage:
    """Split a stage, float32 on a CPU, into blocks."""
    nothing = stage.base.new_empty(0, len(stage.base))

    def split(projected: ProjectedImage | None) -> tuple[Float32s, Float32s]:
        if projected is None:
            return _split_blocks(nothing), _split_blocks(nothing)
        constant = nothing if projected.constant is None else projected.constant.flatten(0, 1)
        return _split_blocks(projected.tokens.flatten(0, 1)), _split_blocks(constant)

    keys, keys_constant = split(stage.keys)
    queries, queries_constant = split(stage.queries)
    residual_on_base = stage.residual_on_base
    blocks = StageBlocks(
        keys=keys,
        keys_constant=keys_constant,
        values=_split_blocks(stage.values.mT.flatten(0, 1)),
        queries=queries,
        queries_constant=queries_constant,
        residual_on_base=_split_blocks(
            residual_on_base.flatten(0, 1) if len(residual_on_base) else nothing
        ),
        energy=_split_blocks(stage.energy[None]),
        per_channel=np.float32(1) / np.float32(stage.base.shape[1]),
        eps=np.float32(stage.eps),
    )
    return BlockedStage(stage, blocks)


def _split_blocks(rows: Tensor) -> Float32s:
    """(rows, h * w) to (blocks, rows, image tokens of a block)."""
    size = block_size(rows.shape[1])
    assert size is not None
    return _to_numpy(torch.unflatten(rows, 1, (rows.shape[1] // size, size)).transpose(0, 1))


def _to_numpy(x: Tensor) -> Float32s:
    return x.contiguous().numpy()


def _fold_to_lower(gram: Tensor) -> Tensor:
    """Lower triangular matrices with the same x.T @ gram @ x as symmetric ones."""
    return gram.tril() + gram.tril(-1)


def _empty_factors(prompts: int, residuals: int, stage: StageBlocks) -> FactorBlocks:
    blocks, _, size = stage.energy.shape
    scale, base_share = (np.empty((prompts, blocks, size), np.float32) for _ in range(2))
    return FactorBlocks(scale, base_share, np.empty((prompts, blocks, residuals, size), np.float32))


def _start_sums(queries: Tensor, residuals: int) -> AttentionSums:
    """Sums over no block yet, for queries (n, heads, t, d)."""
    prompts, heads, tokens, width = queries.shape
    totals = np.zeros((prompts, heads * tokens), np.float32)
    return AttentionSums(
        maxima=np.full(totals.shape, -np.inf, np.float32),
        totals=totals,
        of_base=np.zeros((*totals.shape, width), np.float32),
        of_residuals=np.zeros((*totals.shape, residuals), np.float32),
    )


class BlockCrossAttention:
    """`CrossAttention` through the stages of an image, in inference mode only."""

    def __init__(self, stages: Sequence[BlockedStage]) -> None:
        self._now, *self._next = stages
        self._factors = _empty_factors(0, 0, self._now.blocks)
        self._values = self._residuals = torch.empty(0)

    def attend(self, queries: Tensor) -> Tensor:
        sums = _start_sums(queries, 0)
        attend_to_image(_to_numpy(queries.flatten(1, 2)), self._now.blocks, sums)
        return self._average_base(sums, queries.shape) + self._now.stage.value_bias

    def update_and_attend(self, keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
        before, after = self._now, self._next.pop(0)
        stage, prompts = after.stage, len(keys)
        first, new_values = not len(self._residuals), append_one(values)
        all_values = new_values if first else torch.cat([self._values, new_values], dim=1)
        unscaled = (all_values @ stage.value_to_residual).flatten(1, 2)
        residuals = unscaled * stage.gain
        if first:
            old = _empty_factors(prompts, 0, before.blocks)
            keys_on_residuals = keys.new_empty(prompts, keys.shape[1] * keys.shape[2], 0)
        else:
            old = self._factors
            assert before.stage.queries is not None
            keys_on_queries = (keys @ before.stage.queries.weight).flatten(1, 2)
            keys_on_residuals = keys_on_queries @ self._residuals.mT
        queries_on_keys = (queries @ stage.keys.weight).flatten(1, 2)
        tokens = TokenInputs(
            keys=_to_numpy(keys.flatten(1, 2)),
            keys_on_residuals=_to_numpy(keys_on_residuals),
            values=_to_numpy(all_values.flatten(1, 2)),
            gram=_to_numpy(_fold_to_lower(unscaled @ unscaled.mT)),
            queries=_to_numpy(queries.flatten(1, 2)),
            queries_on_residuals=_to_numpy(queries_on_keys @ residuals.mT),
        )
        new = _empty_factors(prompts, residuals.shape[1], after.blocks)
        sums = _start_sums(queries, residuals.shape[1])
        update_and_attend(before.blocks, after.blocks, tokens, old, new, sums)
        self._now, self._factors = after, new
        self._values, self._residuals = all_values, residuals
        return self._average(sums, queries.shape)

    def image_tokens(self) -> Sequence[FactoredImageTokens]:
        return BlockedTokens(self._now.stage, self._factors, self._values, self._residuals)

    def _average(self, sums: AttentionSums, shape: torch.Size) -> Tensor:
        """The means of the values: (n, heads, t, d)."""
        stage = self._now.stage
        shares = torch.from_numpy(sums.of_residuals / sums.totals[..., None])
        residual = torch.unflatten(shares @ self._residuals, 1, shape[1:3])
        of_residuals = residual @ stage.value_weight.mT
        return self._average_base(sums, shape) + of_residuals + stage.value_bias

    def _average_base(self, sums: AttentionSums, shape: torch.Size) -> Tensor:
        return torch.from_numpy(sums.of_base / sums.totals[..., None]).reshape(shape)


class BlockedTokens(Sequence[FactoredImageTokens]):
    """Each prompt's image tokens, copied together from their blocks when one is taken."""

    def __init__(
        self, stage: ImageStage, factors: FactorBlocks, values: Tensor, residuals: Tensor
    ) -> None:
        self._stage, self._factors = stage, factors
        self._values, self._residuals = values, residuals

    @overload
    def __getitem__(self, index: int) -> FactoredImageTokens: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FactoredImageTokens]: ...

    def __getitem__(
        self, index: int | slice
    ) -> FactoredImageTokens | Sequence[FactoredImageTokens]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        scale, base_share, shares = (torch.from_numpy(x[index]) for x in self._factors)
        return FactoredImageTokens(
            self._stage,
            scale.reshape(1, 1, -1),
            base_share.reshape(1, 1, -1),
            shares.transpose(0, 1).reshape(1, shares.shape[1], -1),
            self._values[index : index + 1],
            self._residuals[index : index + 1],
        )

    def factors_of(self, prompt: int) -> PromptFactors:
        """A prompt's factors as they are, in their blocks."""
        scale, base_share, shares = (x[prompt] for x in self._factors)
        return PromptFactors(self._residuals[prompt], shares, base_share.ravel(), scale.ravel())

    def __len__(self) -> int:
        return len(self._factors.residual_shares)
