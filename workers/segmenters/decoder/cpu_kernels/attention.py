"""`places.WholeTurns` on a CPU in float32: a block of places at a time, for several prompts.

A block stays in the caches from the first score to what is read of it (`turn_kernels`), and what
prompts share of it is fetched once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor

from workers.segmenters.decoder.cpu_kernels.attention_kernels import read, write
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import COLUMNS
from workers.segmenters.decoder.image_tokens import Level, Onto, Written, with_one

Float32s = npt.NDArray[np.float32]
_MOST_PLACES = 256


def block_size(places: int) -> int | None:
    """Places of a block, of which there is a whole number; None if there is no such size."""
    sizes = range(_MOST_PLACES - _MOST_PLACES % COLUMNS, 0, -COLUMNS)
    return next((size for size in sizes if places % size == 0), None)


def has_kernels(decoder: MaskDecoder, places: int) -> bool:
    """Whether `BlockTurns` can be taken for a decoder's images of so many places."""
    weight = decoder.mask_tokens.weight
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and block_size(places) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A level's numbers of places, by blocks: float32 (blocks, rows, places of a block).

    See `Level`; rows of heads follow one another. What a level does not have has no rows.
    """

    level: Level
    keys: Float32s
    keys_constant: Float32s
    values: Float32s
    queries: Float32s
    queries_constant: Float32s
    heard: Float32s
    energy: Float32s

    @classmethod
    def of(cls, level: Level) -> Blocks:
        none = level.base.new_empty(0, len(level.base))

        def rows(onto: Onto | None) -> tuple[Float32s, Float32s]:
            if onto is None:
                return _blocks(none), _blocks(none)
            constant = none if onto.constant is None else onto.constant.flatten(0, 1)
            return _blocks(onto.places.flatten(0, 1)), _blocks(constant)

        keys, keys_constant = rows(level.keys)
        queries, queries_constant = rows(level.queries)
        return cls(
            level,
            keys,
            keys_constant,
            values=_blocks(level.values.mT.flatten(0, 1)),
            queries=queries,
            queries_constant=queries_constant,
            heard=_blocks(level.heard.flatten(0, 1) if len(level.heard) else none),
            energy=_blocks(level.energy[None]),
        )


def _blocks(rows: Tensor) -> Float32s:
    """(rows, h * w) to (blocks, rows, places of a block)."""
    size = block_size(rows.shape[1])
    assert size is not None
    return _array(torch.unflatten(rows, 1, (rows.shape[1] // size, size)).transpose(0, 1))


def _none_yet(totals: Float32s) -> Float32s:
    """The greatest scores so far."""
    return np.full(totals.shape, -np.inf, np.float32)


def _lower(gram: Tensor) -> Tensor:
    """Of symmetric matrices, lower ones that tell the same of x.T @ gram @ x."""
    return gram.tril() + gram.tril(-1)


def _array(x: Tensor) -> Float32s:
    return x.contiguous().numpy()


class BlockTurns:
    """See `places.Turns`, and the module. In inference mode only."""

    def __init__(self, image: Sequence[Blocks]) -> None:
        self._blocks, *self._next = image
        blocks, _, size = self._blocks.keys.shape
        self._shape = blocks, size
        self._shares: Float32s | None = None
        self._own = self._scale = np.empty((0, 0, 0), np.float32)
        self._values = self._vectors = torch.empty(0)

    def read(self, asked: Tensor) -> Tensor:
        rows, image = asked.flatten(1, 2), self._blocks
        totals = np.zeros(rows.shape[:2], np.float32)
        found = np.zeros(rows.shape, np.float32)
        read(_array(rows), image.keys, image.values, _none_yet(totals), totals, found)
        mean = torch.from_numpy(found / totals[..., None]).reshape(asked.shape)
        return mean + image.level.value_bias

    def write(self, asked: Tensor, told: Tensor, then: Tensor) -> Tensor:
        before, image = self._blocks, self._next.pop(0)
        level, now, count = image.level, with_one(told), len(asked)
        values = now if self._shares is None else torch.cat([self._values, now], dim=1)
        said = (values @ level.said).flatten(1, 2)
        vectors = said * level.gain
        rows = said.shape[1]
        shares = np.empty((count, self._shape[0], rows, self._shape[1]), np.float32)
        scale, own = (np.empty((count, *self._shape), np.float32) for _ in range(2))
        readers = then.shape[1] * then.shape[2]
        totals = np.zeros((count, readers), np.float32)
        of_image = np.zeros((count, readers, then.shape[3]), np.float32)
        of_shares = np.zeros((count, readers, rows), np.float32)
        if self._shares is None:
            old = np.empty((count, self._shape[0], 0, self._shape[1]), np.float32)
            of_tokens = asked.new_empty(count, asked.shape[1] * asked.shape[2], 0)
        else:
            old = self._shares
            assert before.level.queries is not None
            of_tokens = (asked @ before.level.queries.weight).flatten(1, 2) @ self._vectors.mT
        write(
            asked.shape[1], level.base.shape[1], np.float32(level.eps),
            _array(asked.flatten(1, 2)), _array(of_tokens),
            before.queries, before.queries_constant, old, self._scale, self._own,
            _array(values.flatten(1, 2)), image.heard, _array(_lower(said @ said.mT)), image.energy,
            _array(then.flatten(1, 2)),
            _array((then @ level.keys.weight).flatten(1, 2) @ vectors.mT),
            image.keys, image.keys_constant, image.values,
            shares, scale, own, _none_yet(totals), totals, of_image, of_shares,
        )  # fmt: skip
        self._blocks, self._shares, self._scale, self._own = image, shares, scale, own
        self._values, self._vectors = values, vectors
        heard = torch.from_numpy(of_shares / totals[..., None]) @ vectors
        of_prompt = torch.unflatten(heard, 1, then.shape[1:3]) @ level.value_weight.mT
        mean = torch.from_numpy(of_image / totals[..., None]).reshape(then.shape)
        return mean + of_prompt + level.value_bias

    def places(self) -> Sequence[Written]:
        assert self._shares is not None
        return _Places(
            self._blocks.level, self._scale, self._own, self._shares, self._values, self._vectors
        )


class _Places(Sequence[Written]):
    """Places of prompts, put together from their blocks where they are asked for."""

    def __init__(
        self, level: Level, scale: Float32s, own: Float32s, shares: Float32s, values: Tensor,
        vectors: Tensor,
    ) -> None:  # fmt: skip
        self._level, self._scale, self._own, self._shares = level, scale, own, shares
        self._values, self._vectors = values, vectors

    @overload
    def __getitem__(self, index: int) -> Written: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Written]: ...

    def __getitem__(self, index: int | slice) -> Written | Sequence[Written]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        shares = torch.from_numpy(self._shares[index]).transpose(0, 1)
        return Written(
            self._level,
            torch.from_numpy(self._scale[index]).reshape(1, 1, -1),
            torch.from_numpy(self._own[index]).reshape(1, 1, -1),
            shares.reshape(1, len(shares), -1),
            self._values[index : index + 1],
            self._vectors[index : index + 1],
        )

    def __len__(self) -> int:
        return len(self._shares)
