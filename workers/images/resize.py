"""Resizes squares of any size to one size as Pillow does, many at once and on any device.

An antialiased resize is linear along each side: on an accelerator a batch of squares, padded to one
size, is resized by two batched matrix products with the weights of their pixels. On a CPU most of
that work would be products with zeros; there torch has a kernel for bytes that resizes the squares
one by one in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.images import UInt8Image

Interpolation = Literal["bicubic", "bilinear"]

_BATCH_PX = 2_000_000  # padded pixels in a batch: 24 MB as float32, unless one square is larger
_MAX_PADDING = 1.25  # largest side of a group over its smallest


def resize_squares(
    squares: Sequence[UInt8Image],
    size_hw: tuple[int, int],
    interpolation: Interpolation,
    device: torch.device,
) -> Tensor:
    """float32 (n, 3, *size_hw) on `device`, 0 to 255, rounded to whole numbers.

    squares: uint8 (side, side, 3), each of its own side. Agrees with Pillow's resize with the same
    filter, to a level or two where a sum lies just between levels.
    """
    if device.type == "cpu":
        return _resize_one_by_one(squares, size_hw, interpolation)
    return resize_together(squares, size_hw, interpolation, device)


def _resize_one_by_one(
    squares: Sequence[UInt8Image], size_hw: tuple[int, int], interpolation: Interpolation
) -> Tensor:
    # The layout that models on a CPU are fastest with.
    resized = torch.empty((len(squares), 3, *size_hw), memory_format=torch.channels_last)
    for target, square in zip(resized, squares, strict=True):
        writeable = np.require(square, requirements=["C", "W"])
        pixels = torch.from_numpy(writeable).permute(2, 0, 1)[None]
        (target[...],) = functional.interpolate(pixels, size_hw, mode=interpolation, antialias=True)
    return resized


def resize_together(
    squares: Sequence[UInt8Image],
    size_hw: tuple[int, int],
    interpolation: Interpolation,
    device: torch.device,
) -> Tensor:
    """As `resize_squares`, by matrix products: for any device, meant for those with many cores."""
    resized = torch.empty((len(squares), 3, *size_hw), device=device)
    sides = np.array([len(square) for square in squares], np.int64)
    for rows in _group_by_size(sides):
        largest = int(sides[rows].max())
        padded = np.zeros((len(rows), largest, largest, 3), np.uint8)
        for target, row in zip(padded, rows, strict=True):
            target[: sides[row], : sides[row]] = squares[row]
        pixels = torch.from_numpy(padded).to(device).permute(0, 3, 1, 2).float()
        own = torch.from_numpy(sides[rows]).to(device)
        down, across = (
            resize_weights(own, largest, size, interpolation)[:, None] for size in size_hw
        )
        # Pillow resizes across first, and rounds to bytes after each side.
        resized[rows] = _round_to_bytes(down @ _round_to_bytes(pixels @ across.mT))
    return resized


def _round_to_bytes(levels: Tensor) -> Tensor:
    return levels.add_(0.5).floor_().clamp_(0, 255)


def _group_by_size(sides: np.ndarray) -> Iterator[list[int]]:
    """Rows of squares that are padded to one size, from small to large."""
    group: list[int] = []
    for row in np.argsort(sides, kind="stable").tolist():
        side = int(sides[row])
        if group and (
            side > _MAX_PADDING * int(sides[group[0]]) or (len(group) + 1) * side**2 > _BATCH_PX
        ):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def resize_weights(sides: Tensor, longest: int, size: int, interpolation: Interpolation) -> Tensor:
    """The weight of each input in each output: float32 (n, size, longest), rows sum to 1.

    sides int (n,): how many inputs there are; the rest up to `longest` has weight 0. When reducing,
    the filter is widened to cover all inputs, as Pillow does.
    """
    scale = sides.float()[:, None, None] / size
    widened = scale.clamp(min=1)
    centres = (torch.arange(size, device=sides.device)[:, None] + 0.5) * scale
    inputs = torch.arange(longest, device=sides.device)
    weights = _FILTERS[interpolation]((inputs + 0.5 - centres) / widened)
    weights = weights * (inputs < sides[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic with a = -0.5, which Pillow calls BICUBIC."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


_FILTERS = {"bicubic": _cubic, "bilinear": _triangle}
