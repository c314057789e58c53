"""Represents the image tokens of a prompt by what the prompt has added to those of the image.

In segment-anything's two-way transformer (A. Kirillov et al., Segment Anything, 2023, appendix A)
every prompt has image tokens of its own, h * w rows x of c numbers. They all start as the image's.
In each layer's cross-attention from image to tokens, x takes the attention-weighted mean of a few
tokens' values in each head, and is normalised. With the softmax's weights a[h, t], the values
v[h, t] and the output projection W[h] of the head, this is

    x' = norm(x + sum over h, t of a[h, t] * (W[h] v[h, t]) + b)

The vectors W[h] v[h, t] are few and the same for all rows of x; only their weights differ from row
to row. So, by induction over the layers, a prompt's image tokens are

    scale * (base_share * base + residual_shares.T @ residuals) * gain + bias

where `base` is the image's, with each row's mean removed; `residual_shares` are a few dozen numbers
a row, the weights so far, scaled by the norms since; and `residuals` are the vectors, also without
their mean. `gain` and `bias` are the last norm's, and `scale` is its inverse standard deviation,
which follows from the products of base and residuals with each other. Queries, keys and values are
linear in x, so that attention needs the products of the projections with `base` once for an image,
and with `residuals` on small matrices. A prompt's h * w rows are never computed. These are the same
sums in another order. Differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn

from workers.segmenters.decoder.matmul import multiply, multiply_shared


def split_heads(x: Tensor, count: int) -> Tensor:
    """(..., t, d) to (..., heads, t, d / heads)."""
    return x.reshape(*x.shape[:-1], count, -1).transpose(-2, -3)


@dataclass(frozen=True, slots=True, eq=False)
class ProjectedImage:
    """An image's own tokens as queries or keys, by heads.

    weight (heads, d, c) is the projection's, tokens (heads, d, h * w) its product with the image's
    tokens. constant, of the same shape, is what the position encoding and the biases add; None
    before the first layer, where `tokens` has it.
    """

    weight: Tensor
    tokens: Tensor
    constant: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class ImageStage:
    """What the image tokens of all prompts share before, between or after the layers.

    base (h * w, c), and energy (h * w,), the sum of each row's squares. value_to_residual
    (layers * heads, d + 1, c) turns a token's value, with a 1 appended, into a residual, for each
    head of the layers so far; residual_on_base, its products with the base, is
    (layers * heads, d + 1, h * w). gain and bias (c,), and eps, are the last norm's.

    keys and values (heads, h * w, d) are what the next cross-attention from tokens to image
    attends to; value_weight (heads, d, c) and value_bias (heads, 1, d) project to the values.
    queries are those of the next cross-attention from image to tokens, None after the last layer.
    """

    base: Tensor
    energy: Tensor
    value_to_residual: Tensor
    residual_on_base: Tensor
    gain: Tensor
    bias: Tensor
    eps: float
    keys: ProjectedImage
    values: Tensor
    value_weight: Tensor
    value_bias: Tensor
    queries: ProjectedImage | None


def compute_stages(decoder: MaskDecoder, image: Tensor, position: Tensor) -> list[ImageStage]:
    """All that is computed of an image once for its prompts, by layers.

    image float (h * w, c), with the embedding of no mask prompt added; position (h * w, c).
    """
    layers = list(decoder.transformer.layers)
    to_image = [layer.cross_attn_token_to_image for layer in layers]
    to_image.append(decoder.transformer.final_attn_token_to_image)
    to_tokens: list[Attention | None] = [layer.cross_attn_image_to_token for layer in layers]
    to_tokens.append(None)
    no_residuals = image.new_empty(0)
    stages = [_compute_stage((to_image[0], to_tokens[0]), image, position, None, no_residuals)]
    for number, layer in enumerate(layers, start=1):
        before, attention = stages[-1], layer.cross_attn_image_to_token
        bias = before.bias + attention.out_proj.bias
        value_to_residual = _centre(_project_values(attention, bias))
        if number > 1:
            earlier = _centre(before.value_to_residual * before.gain)
            value_to_residual = torch.cat([earlier, value_to_residual])
        base = _centre(before.base * before.gain)
        attentions = to_image[number], to_tokens[number]
        stages.append(_compute_stage(attentions, base, position, layer.norm4, value_to_residual))
    return stages


def _compute_stage(
    attentions: tuple[Attention, Attention | None],
    base: Tensor,
    position: Tensor,
    norm: nn.LayerNorm | None,
    value_to_residual: Tensor,
) -> ImageStage:
    """`attentions` are the next ones from tokens to image and from image to tokens."""
    to_image, to_tokens = attentions
    gain = torch.ones_like(base[0]) if norm is None else norm.weight
    bias = torch.zeros_like(base[0]) if norm is None else norm.bias
    count = to_image.num_heads

    def project(projection: nn.Linear) -> ProjectedImage:
        tokens = (projection.weight * gain) @ base.mT
        constant = projection.weight @ (position + bias).mT + projection.bias[:, None]
        weight = _split_rows(projection.weight, count)
        if norm is None:
            return ProjectedImage(weight, _split_rows(tokens + constant, count), None)
        return ProjectedImage(weight, _split_rows(tokens, count), _split_rows(constant, count))

    value = to_image.v_proj
    return ImageStage(
        base=base,
        energy=base.float().square().sum(dim=1),
        value_to_residual=value_to_residual,
        residual_on_base=value_to_residual @ base.mT if norm is not None else value_to_residual,
        gain=gain,
        bias=bias,
        eps=0.0 if norm is None else norm.eps,
        keys=project(to_image.k_proj),
        values=split_heads(base @ (value.weight * gain).T, count).contiguous(),
        value_weight=_split_rows(value.weight, count),
        value_bias=split_heads((value.weight @ bias + value.bias)[None], count),
        queries=None if to_tokens is None else project(to_tokens.q_proj),
    )


def _split_rows(x: Tensor, count: int) -> Tensor:
    """(heads * d, c) to (heads, d, c)."""
    return x.reshape(count, -1, x.shape[-1])


def _centre(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=-1, keepdim=True)


def _project_values(attention: Attention, bias: Tensor) -> Tensor:
    """The output projection of a token's value with a 1 appended, by heads: (heads, d + 1, c).

    The weights that an image token gives to tokens sum to 1 in each head, so that the bias may be
    added to the heads' outputs in equal parts.
    """
    count = attention.num_heads
    weight = _split_rows(attention.out_proj.weight.T, count)
    return torch.cat([weight, (bias / count).expand(count, 1, -1)], dim=1)


def append_one(values: Tensor) -> Tensor:
    """(..., d) to (..., d + 1), see `ImageStage.value_to_residual`."""
    return torch.cat([values, values.new_ones(*values.shape[:-1], 1)], dim=-1)


class ImageTokens(Protocol):
    """The image tokens of n prompts at a stage."""

    @property
    def stage(self) -> ImageStage: ...

    def compute_scores(self, others: Tensor, image: ProjectedImage) -> Tensor:
        """Attention scores with prompt tokens, (n, heads, t, d), as (n, heads, t, h * w).

        `others` are the prompt tokens' queries where `image` are keys, and keys where it is
        queries. They are scaled already.
        """
        ...

    def average_values(self, weights: Tensor) -> Tensor:
        """Means of the values: weights (n, heads, t, h * w) that sum to 1 to (n, heads, t, d)."""
        ...

    def update(self, weights: Tensor, values: Tensor, stage: ImageStage) -> FactoredImageTokens:
        """The image tokens at the next stage, after their attention to prompt tokens.

        weights (n, heads, t, h * w); values (n, heads, t, d), the prompt tokens'.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SharedImageTokens:
    """The image's own tokens, which are every prompt's before the first layer."""

    stage: ImageStage

    def compute_scores(self, others: Tensor, image: ProjectedImage) -> Tensor:
        return multiply_shared(others, image.tokens)

    def average_values(self, weights: Tensor) -> Tensor:
        return multiply_shared(weights, self.stage.values) + self.stage.value_bias

    def update(self, weights: Tensor, values: Tensor, stage: ImageStage) -> FactoredImageTokens:
        base_share = torch.ones_like(weights[:, :1, 0])
        return _normalise(stage, base_share, weights.flatten(1, 2), append_one(values))


@dataclass(frozen=True, slots=True, eq=False)
class FactoredImageTokens:
    """The factors of n prompts' image tokens, see the module: r residuals of each.

    scale and base_share (n, 1, h * w); residual_shares (n, r, h * w); values
    (n, layers * heads, t, d + 1), from which the residuals were projected; residuals (n, r, c),
    times the norm's gain.
    """

    stage: ImageStage
    scale: Tensor
    base_share: Tensor
    residual_shares: Tensor
    values: Tensor
    residuals: Tensor

    def compute_scores(self, others: Tensor, image: ProjectedImage) -> Tensor:
        assert image.constant is not None
        on_residuals = (others @ image.weight).flatten(1, 2) @ self.residuals.mT
        on_base = multiply_shared(others, image.tokens).flatten(1, 2)
        scores = multiply(on_residuals, self.residual_shares, on_base * self.base_share)
        constant = multiply_shared(others, image.constant)
        return torch.addcmul(
            constant, self.scale[:, None], torch.unflatten(scores, 1, others.shape[1:3])
        )

    def average_values(self, weights: Tensor) -> Tensor:
        stage = self.stage
        scaled = weights * self.scale[:, None]
        residual = multiply(scaled.flatten(1, 2), self.residual_shares.mT) @ self.residuals
        of_residuals = torch.unflatten(residual, 1, weights.shape[1:3]) @ stage.value_weight.mT
        of_base = multiply_shared(scaled * self.base_share[:, None], stage.values)
        return of_base + of_residuals + stage.value_bias

    def update(self, weights: Tensor, values: Tensor, stage: ImageStage) -> FactoredImageTokens:
        shares = torch.cat([self.residual_shares * self.scale, weights.flatten(1, 2)], dim=1)
        all_values = torch.cat([self.values, append_one(values)], dim=1)
        return _normalise(stage, self.base_share * self.scale, shares, all_values)

    def __len__(self) -> int:
        return len(self.residual_shares)

    def select(self, prompts: Tensor) -> FactoredImageTokens:
        """Those of the prompts in bool (n,)."""
        if prompts.all():
            return self
        factors = (self.scale, self.base_share, self.residual_shares, self.values, self.residuals)
        return FactoredImageTokens(self.stage, *(factor[prompts] for factor in factors))

    def project(self, weight: Tensor, base_product: Tensor) -> Tensor:
        """The product of the first p image tokens with a matrix, (c, d): (n, p, d).

        base_product (p, d): that of base * gain. The part of the norm's bias is left out.
        """
        first = len(base_product)
        base_share, scale = (x[..., :first].mT for x in (self.base_share, self.scale))
        of_residuals = multiply(self.residual_shares[..., :first].mT, self.residuals @ weight)
        return torch.addcmul(of_residuals, base_share, base_product) * scale

    def to_rows(self) -> Tensor:
        """The image tokens themselves: (n, h * w, c)."""
        of_base = self.base_share.mT * (self.stage.base * self.stage.gain)
        whole = of_base + self.residual_shares.mT @ self.residuals
        return self.scale.mT * whole + self.stage.bias


def _normalise(
    stage: ImageStage, base_share: Tensor, shares: Tensor, values: Tensor
) -> FactoredImageTokens:
    """Image tokens after the norm that begins a stage.

    Base and residuals have no mean, so that the variance is that of their sum of squares:
    base_share^2 * energy + shares.T @ (2 * base_share * residuals @ base.T + gram @ shares).
    """
    residuals = (values @ stage.value_to_residual).flatten(1, 2)
    on_base = multiply_shared(values, stage.residual_on_base).flatten(1, 2)
    products = multiply(residuals @ residuals.mT, shares, on_base * (2 * base_share))
    spread = (shares * products).sum(dim=1, keepdim=True, dtype=torch.float32)
    variance = (base_share.float().square() * stage.energy + spread) / stage.base.shape[1]
    scale = (variance + stage.eps).rsqrt().to(shares.dtype)
    return FactoredImageTokens(stage, scale, base_share, shares, values, residuals * stage.gain)
