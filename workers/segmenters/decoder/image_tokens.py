"""The places of an image as a prompt leaves them, told by what the prompt added to the image.

In segment-anything's decoder every prompt has places of its own, h * w rows of c numbers. But they
all come from one image: a layer adds to each place a mean of what a few tokens say, and norms it.
So a prompt's places are

    scale * (own * base + shares.T @ vectors) * gain + bias

where `base` is the image's, each row's mean taken off; `shares` are a few dozen numbers a place,
how much it took from each head of each token so far; `vectors` are what these said. What reads or
writes places, and the norms' variances, are computed from these parts: products with `base` once
for an image, those with `vectors` on small matrices. The rows of a prompt are never there. These
are the same sums in another order. Differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn

from workers.segmenters.decoder.matmul import product, shared_product


def heads(x: Tensor, count: int) -> Tensor:
    """(..., t, d) to (..., heads, t, d / heads)."""
    return x.reshape(*x.shape[:-1], count, -1).transpose(-2, -3)


def by_heads(projection: nn.Linear, count: int) -> Tensor:
    """The rows of a projection's weight: (heads, d, c)."""
    return projection.weight.reshape(count, -1, projection.in_features)


@dataclass(frozen=True, slots=True, eq=False)
class Onto:
    """An image's places by a projection, by heads, (heads, d, h * w).

    `constant` is what the position encoding and biases add, apart where places are scaled.
    """

    weight: Tensor  # (heads, d, c)
    places: Tensor
    constant: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """What all prompts' places have in common before, between or after the decoder's layers.

    base (h * w, c), and energy (h * w,), its rows' squares. said (layers * heads, d + 1, c): what
    the values of a token, with a 1 behind, say in the layers so far; heard, its products with the
    base, (layers * heads, d + 1, h * w). gain and bias (c,), and eps: those of the last norm.
    keys: what the next tokens ask for; values (heads, h * w, d) what they read, value_weight
    (heads, d, c) and value_bias (heads, 1, d) how it is made. queries: what places ask of these.
    """

    base: Tensor
    energy: Tensor
    said: Tensor
    heard: Tensor
    gain: Tensor
    bias: Tensor
    eps: float
    keys: Onto
    values: Tensor
    value_weight: Tensor
    value_bias: Tensor
    queries: Onto | None


def levels(decoder: MaskDecoder, image: Tensor, position: Tensor) -> list[Level]:
    """All that is computed of an image once for its prompts.

    image float (h * w, c), with the embedding of no mask prompt added; position (h * w, c).
    """
    layers = list(decoder.transformer.layers)
    writers = [layer.cross_attn_image_to_token for layer in layers]
    readers = [layer.cross_attn_token_to_image for layer in layers]
    found = [_level(readers[0], writers[0], image, position, None, image.new_empty(0))]
    for number, layer in enumerate(layers, start=1):
        before, writer = found[-1], writers[number - 1]
        now = _saying(writer, before.bias + writer.out_proj.bias)
        said = _centred(now)
        if number > 1:
            said = torch.cat([_centred(before.said * before.gain), said])
        base = _centred(before.base * before.gain)
        last = number == len(layers)
        reader = decoder.transformer.final_attn_token_to_image if last else readers[number]
        asking = None if last else writers[number]
        found.append(_level(reader, asking, base, position, layer.norm4, said))
    return found


def _level(
    reader: Attention, asking: Attention | None, base: Tensor, position: Tensor,
    norm: nn.LayerNorm | None, said: Tensor,
) -> Level:  # fmt: skip
    gain = torch.ones_like(base[0]) if norm is None else norm.weight
    bias = torch.zeros_like(base[0]) if norm is None else norm.bias
    count = reader.num_heads

    def onto(projection: nn.Linear) -> Onto:
        places = (projection.weight * gain) @ base.mT
        constant = projection.weight @ (position + bias).mT + projection.bias[:, None]
        if norm is None:
            return Onto(by_heads(projection, count), _rows(places + constant, count), None)
        return Onto(by_heads(projection, count), _rows(places, count), _rows(constant, count))

    value = reader.v_proj
    return Level(
        base=base,
        energy=base.float().square().sum(dim=1),
        said=said,
        heard=said @ base.mT if len(said) else said,
        gain=gain,
        bias=bias,
        eps=0.0 if norm is None else norm.eps,
        keys=onto(reader.k_proj),
        values=heads(base @ (value.weight * gain).T, count).contiguous(),
        value_weight=by_heads(value, count),
        value_bias=heads((value.weight @ bias + value.bias)[None], count),
        queries=None if asking is None else onto(asking.q_proj),
    )


def _rows(x: Tensor, count: int) -> Tensor:
    return x.reshape(count, -1, x.shape[-1])


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=-1, keepdim=True)


def _saying(writer: Attention, bias: Tensor) -> Tensor:
    """What the values of a token, and a 1 behind them, say to places: (heads, d + 1, c).

    A place's shares sum to 1 in each head, so that biases may come in equal parts with them.
    """
    count = writer.num_heads
    values = _rows(writer.out_proj.weight.T, count)
    return torch.cat([values, (bias / count).expand(count, 1, -1)], dim=1)


class Turns(Protocol):
    """What n prompts' tokens and places say to each other, from one level to the next."""

    def read(self, asked: Tensor) -> Tensor:
        """What tokens read of the image's own places: both (n, heads, t, d)."""
        ...

    def write(self, asked: Tensor, told: Tensor, then: Tensor) -> Tensor:
        """Places take what tokens tell as far as they agree with what these ask, and are read.

        asked and told (n, heads, t, d): the tokens' keys and values; then, and the result, as in
        `read`.
        """
        ...

    def places(self) -> Sequence[Written]:
        """What has become of them, the prompts in their order."""
        ...


class Places(Protocol):
    """Those of n prompts at a level."""

    @property
    def level(self) -> Level: ...

    def scores(self, asked: Tensor, onto: Onto) -> Tensor:
        """How far places agree with what is asked, (n, heads, t, d): (n, heads, t, h * w)."""
        ...

    def read(self, shares: Tensor) -> Tensor:
        """Means of the values, by shares (n, heads, t, h * w) that sum to 1: (n, heads, t, d)."""
        ...

    def written(self, shares: Tensor, values: Tensor, level: Level) -> Written:
        """What they are at the next level, having taken shares, (n, heads, t, h * w), of tokens.

        values (n, heads, t, d): the tokens'.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Unwritten:
    """The image's own places, to which no prompt has written."""

    level: Level

    def scores(self, asked: Tensor, onto: Onto) -> Tensor:
        return shared_product(asked, onto.places)

    def read(self, shares: Tensor) -> Tensor:
        return shared_product(shares, self.level.values) + self.level.value_bias

    def written(self, shares: Tensor, values: Tensor, level: Level) -> Written:
        own = torch.ones_like(shares[:, :1, 0])
        return _normed(level, own, shares.flatten(1, 2), with_one(values))


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The parts of n prompts' places, see above: r shares, of as many heads of tokens.

    scale and own (n, 1, h * w); shares (n, r, h * w); values (n, layers * heads, t, d + 1), those
    of the tokens with a 1 behind; vectors (n, r, c), what these said times the norm's gain.
    """

    level: Level
    scale: Tensor
    own: Tensor
    shares: Tensor
    values: Tensor
    vectors: Tensor

    def scores(self, asked: Tensor, onto: Onto) -> Tensor:
        assert onto.constant is not None
        said = (asked @ onto.weight).flatten(1, 2) @ self.vectors.mT
        of_image = shared_product(asked, onto.places).flatten(1, 2)
        scores = product(said, self.shares, of_image * self.own)
        constant = shared_product(asked, onto.constant)
        return torch.addcmul(
            constant, self.scale[:, None], torch.unflatten(scores, 1, asked.shape[1:3])
        )

    def read(self, shares: Tensor) -> Tensor:
        level = self.level
        scaled = shares * self.scale[:, None]
        said = product(scaled.flatten(1, 2), self.shares.mT) @ self.vectors
        of_prompt = torch.unflatten(said, 1, shares.shape[1:3]) @ level.value_weight.mT
        of_image = shared_product(scaled * self.own[:, None], level.values)
        return of_image + of_prompt + level.value_bias

    def written(self, shares: Tensor, values: Tensor, level: Level) -> Written:
        every = torch.cat([self.shares * self.scale, shares.flatten(1, 2)], dim=1)
        said = torch.cat([self.values, with_one(values)], dim=1)
        return _normed(level, self.own * self.scale, every, said)

    def __len__(self) -> int:
        return len(self.shares)

    def taken(self, prompts: Tensor) -> Written:
        """Those of some prompts, bool (n,)."""
        if prompts.all():
            return self
        parts = (self.scale, self.own, self.shares, self.values, self.vectors)
        return Written(self.level, *(part[prompts] for part in parts))

    def by(self, weight: Tensor, of_base: Tensor) -> Tensor:
        """The first places by a matrix, (c, d), of which `of_base`, (p, d), are base's: (n, p, d).

        of_base: base * gain by the matrix. The norm's bias is not in it.
        """
        first = len(of_base)
        own, scale = (x[..., :first].mT for x in (self.own, self.scale))
        said = product(self.shares[..., :first].mT, self.vectors @ weight)
        return torch.addcmul(said, own, of_base) * scale

    def rows(self) -> Tensor:
        """The places themselves: (n, h * w, c)."""
        whole = self.own.mT * (self.level.base * self.level.gain) + self.shares.mT @ self.vectors
        return self.scale.mT * whole + self.level.bias


class WholeTurns:
    """`Turns` of all places at a time; of a prompt at a time on a CPU, to stay in its caches."""

    def __init__(self, image: Sequence[Level]) -> None:
        self._levels = iter(image)
        self._places: Sequence[Places] = [Unwritten(next(self._levels))]
        self._written: list[Written] = []

    def read(self, asked: Tensor) -> Tensor:
        (unwritten,) = self._places
        self._places = [unwritten] * len(_grouped(asked))
        return self._read(asked)

    def write(self, asked: Tensor, told: Tensor, then: Tensor) -> Tensor:
        level = next(self._levels)
        self._written = []
        for some, ask, tell in zip(self._places, _grouped(asked), _grouped(told), strict=True):
            assert some.level.queries is not None
            shares = some.scores(ask, some.level.queries).softmax(dim=2)
            self._written.append(some.written(shares, tell, level))
        self._places = self._written
        return self._read(then)

    def places(self) -> Sequence[Written]:
        return self._written

    def _read(self, asked: Tensor) -> Tensor:
        return torch.cat(
            [
                some.read(some.scores(ask, some.level.keys).softmax(dim=-1))
                for some, ask in zip(self._places, _grouped(asked), strict=True)
            ]
        )


def _grouped(prompts: Tensor) -> tuple[Tensor, ...]:
    return torch.split(prompts, 1 if prompts.device.type == "cpu" else len(prompts))


def with_one(values: Tensor) -> Tensor:
    """(..., d) to (..., d + 1), see `Level.said`."""
    return torch.cat([values, values.new_ones(*values.shape[:-1], 1)], dim=-1)


def _normed(level: Level, own: Tensor, shares: Tensor, values: Tensor) -> Written:
    said = (values @ level.said).flatten(1, 2)
    agreed = shared_product(values, level.heard).flatten(1, 2) * (2 * own)
    agreed = product(said @ said.mT, shares, agreed)
    spread = (shares * agreed).sum(dim=1, keepdim=True, dtype=torch.float32)
    variance = (own.float().square() * level.energy + spread) / level.base.shape[1]
    scale = (variance + level.eps).rsqrt().to(shares.dtype)
    return Written(level, scale, own, shares, values, said * level.gain)
