"""Cuts random crops out of cached scenes, with what every pixel shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.training.crops import sample_uniform, turn_hues
from pipeline.training.group_windows import GroupBatch, normalize_pixels

_ASPECT = 4 / 3
_GAINS = (0.8, 1.25)  # of a colour channel
_DIVISOR = 32  # the largest stride


class SceneCrops:
    """Random crops, at random `scales` of a scene's pixels, each flipped half of the time."""

    def __init__(self, caches: Sequence[Path], height: int, scales: Sequence[float]) -> None:
        self._images = [np.load(cache / "images.npy", mmap_mode="r") for cache in caches]
        self._instances = [np.load(cache / "instances.npy", mmap_mode="r") for cache in caches]
        self._concepts = [np.load(cache / "concepts.npy").astype(np.int64) - 1 for cache in caches]
        self._hw = height, round(height * _ASPECT / _DIVISOR) * _DIVISOR
        self._scales = scales
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Restart from `seed`."""
        self._rng = np.random.default_rng(seed)
        self._torch_rng = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> GroupBatch:
        """The next `count` crops; what clip_demo says of their drawings is not known."""
        drawn = [self._draw_one() for _ in range(count)]
        images, instances, concepts = (np.stack(parts) for parts in zip(*drawn, strict=True))
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        recoloured = count // 2
        pixels[:recoloured] = recolour(pixels[:recoloured], self._torch_rng)
        return GroupBatch(
            normalize_pixels(pixels),
            torch.from_numpy(instances).long(),
            torch.from_numpy(concepts),
            None,
        )

    def _draw_one(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cache = int(self._rng.integers(len(self._images)))
        images, instances = self._images[cache], self._instances[cache]
        row = int(self._rng.integers(len(images)))
        scene_hw = instances.shape[1:]
        low, high = (math.log(scale) for scale in self._scales)
        scale = math.exp(self._rng.uniform(low, high))
        window = [
            min(round(side / scale), most) for side, most in zip(self._hw, scene_hw, strict=True)
        ]
        top, left = (
            int(self._rng.integers(most - side + 1))
            for side, most in zip(window, scene_hw, strict=True)
        )
        inside = slice(top, top + window[0]), slice(left, left + window[1])
        size = self._hw[::-1]
        image = Image.fromarray(images[row][inside]).resize(size, Image.Resampling.BILINEAR)
        small = Image.fromarray(instances[row][inside]).resize(size, Image.Resampling.NEAREST)
        step = 1 if self._rng.random() < 0.5 else -1
        concepts = self._concepts[cache][row]
        return np.asarray(image)[:, ::step], np.asarray(small)[:, ::step], concepts


def recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crops, (n, 3, h, w), 0 to 1, in other lights, half of them with other hues."""
    grey = images.mean(1, keepdim=True)
    turned = turn_hues(images - grey, generator)
    gains = sample_uniform(generator, 3 * len(images), *_GAINS).view(-1, 3, 1, 1)
    return ((grey + turned) * gains).clamp(0, 1)
