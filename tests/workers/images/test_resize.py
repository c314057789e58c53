"""Many squares are resized at once as Pillow resizes each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from workers.images.resize import Interpolation, resize_squares, resize_together, resize_weights

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
CPU = torch.device("cpu")


def _squares() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sides = [*rng.integers(2, 400, 30).tolist(), 1, 64, 65, 640, 1500]
    smooth = [rng.integers(0, 256, (9, 9, 3), dtype=np.uint8) for _ in sides]
    noise = [rng.integers(0, 40, (side, side, 3), dtype=np.uint8) for side in sides]
    enlarged = [
        np.asarray(Image.fromarray(image).resize((side, side)))
        for image, side in zip(smooth, sides, strict=True)
    ]
    return [image // 2 + grain for image, grain in zip(enlarged, noise, strict=True)]


@pytest.mark.parametrize("resize", [resize_squares, resize_together])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size_hw", [(64, 64), (224, 160)])
def test_squares_are_resized_as_pillow_does(
    resize: Callable[..., Tensor], interpolation: Interpolation, size_hw: tuple[int, int]
) -> None:
    squares = _squares()
    resized = resize(squares, size_hw, interpolation, CPU)
    assert resized.shape == (len(squares), 3, *size_hw)
    assert torch.equal(resized, resized.round())
    for square, found in zip(squares, resized, strict=True):
        image = Image.fromarray(square).resize(size_hw[::-1], PILLOW[interpolation])
        wanted = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float()
        assert (found - wanted).abs().max() <= 2
        assert (found != wanted).float().mean() < 0.1


@pytest.mark.parametrize("resize", [resize_squares, resize_together])
def test_nothing_gives_nothing(resize: Callable[..., Tensor]) -> None:
    assert resize([], (8, 8), "bicubic", CPU).shape == (0, 3, 8, 8)


def test_weights_sum_to_one_and_leave_out_what_is_padding() -> None:
    weights = resize_weights(torch.tensor([3, 50]), 50, 7, "bicubic")
    assert weights.shape == (2, 7, 50)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 7))
    assert not weights[0, :, 3:].any()
