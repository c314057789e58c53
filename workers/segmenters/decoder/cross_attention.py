"""Computes the cross-attention between prompt tokens and image tokens in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from workers.segmenters.decoder.image_tokens import (
    FactoredImageTokens,
    ImageStage,
    ImageTokens,
    SharedImageTokens,
)


class CrossAttention(Protocol):
    """The attention of n prompts' tokens to image tokens and back, through the layers in turn.

    Queries, keys and values are the prompt tokens', (n, heads, t, d); those of the image tokens
    are computed within. Scores need no further scaling.
    """

    def attend(self, queries: Tensor) -> Tensor:
        """Tokens attend to the image's own tokens: attn_out (n, heads, t, d)."""
        ...

    def update_and_attend(self, keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
        """Image tokens attend to prompt tokens, which then attend to the updated image tokens.

        keys and values are those of the image's attention to the tokens, queries those of the
        tokens' next attention to the image, whose attn_out, of their shape, is returned. Both are
        one step so that a part of the image can be taken through it while it is in the caches.
        """
        ...

    def image_tokens(self) -> Sequence[FactoredImageTokens]:
        """The image tokens after the last update, the prompts in their order."""
        ...


class TorchCrossAttention:
    """The reference. On a CPU a prompt at a time, so that it stays in the caches."""

    def __init__(self, stages: Sequence[ImageStage]) -> None:
        self._stages = iter(stages)
        self._before: Sequence[ImageTokens] = [SharedImageTokens(next(self._stages))]
        self._image_tokens: list[FactoredImageTokens] = []

    def attend(self, queries: Tensor) -> Tensor:
        (shared,) = self._before
        self._before = [shared] * len(_split_prompts(queries))
        return self._attend(queries)

    def update_and_attend(self, keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
        stage = next(self._stages)
        self._image_tokens = []
        groups = zip(self._before, _split_prompts(keys), _split_prompts(values), strict=True)
        for image_tokens, group_keys, group_values in groups:
            assert image_tokens.stage.queries is not None
            scores = image_tokens.compute_scores(group_keys, image_tokens.stage.queries)
            weights = scores.softmax(dim=2)
            self._image_tokens.append(image_tokens.update(weights, group_values, stage))
        self._before = self._image_tokens
        return self._attend(queries)

    def image_tokens(self) -> Sequence[FactoredImageTokens]:
        return self._image_tokens

    def _attend(self, queries: Tensor) -> Tensor:
        return torch.cat(
            [
                image_tokens.average_values(
                    image_tokens.compute_scores(group, image_tokens.stage.keys).softmax(dim=-1)
                )
                for image_tokens, group in zip(self._before, _split_prompts(queries), strict=True)
            ]
        )


def _split_prompts(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x, 1 if x.device.type == "cpu" else len(x))
