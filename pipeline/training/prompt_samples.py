"""Draws what a decoder for prompts is trained on: frames of cached scenes, boxes and clicks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from pipeline.evaluation.clicks import find_largest_error
from pipeline.training.scene_frames import OUTSIDE, draw_frames, start_worker
from workers.refiners.innermost import find_innermost

PADDING, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = range(5)
"""What a coordinate of a prompt is: segment-anything's labels -1 to 3, counted from 0."""
_BOX_SHARE = 0.5
_INNERMOST_SHARE = 0.5
_TIGHT_SHARE, _EVEN_SHARE = 0.2, 0.4  # of boxes: exact; as much too large at every side
_MOST_OFF = 0.5
_MOST_CUT = 0.1
_MIN_VISIBLE, _MIN_AREA_PX = 0.3, 64


class PromptSamples(IterableDataset[dict[str, Tensor]]):
    """An endless stream of frames with `prompts` first prompts each, boxes and single clicks.

    image uint8 (3, s, s); ids uint8 (s, s), the instances; targets uint8 (n,), those prompted;
    coordinates float32 (n, 2, 2), x and y in the frame; kinds int64 (n, 2).
    """

    def __init__(self, caches: Sequence[Path], prompts: int, seed: tuple[int, ...]) -> None:
        self.caches, self.prompts, self.seed = caches, prompts, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rng = start_worker(self.seed)
        for frame in draw_frames(rng, self.caches, _MIN_VISIBLE, _MIN_AREA_PX):
            prompts = _sample_prompts(rng, frame.ids, frame.targets, self.prompts)
            yield {"image": frame.image} | prompts


def _sample_prompts(
    rng: np.random.Generator, ids: np.ndarray, targets: list[int], count: int
) -> dict[str, Tensor]:
    used = ids != OUTSIDE
    size_hw = int(used.any(axis=1).sum()), int(used.any(axis=0).sum())
    order = rng.permutation(targets)
    chosen = np.array([order[number % len(order)] for number in range(count)], np.uint8)
    coordinates = np.zeros((count, 2, 2), np.float32)
    kinds = np.full((count, 2), PADDING, np.int64)
    for number, target in enumerate(chosen):
        mask = ids == target
        if rng.random() < _BOX_SHARE:
            coordinates[number] = sample_box(rng, mask, size_hw)
            kinds[number] = TOP_LEFT, BOTTOM_RIGHT
        else:
            coordinates[number, 0] = _sample_point(rng, mask)
            kinds[number, 0] = POSITIVE
    return {
        "ids": torch.from_numpy(ids),
        "targets": torch.from_numpy(chosen),
        "coordinates": torch.from_numpy(coordinates),
        "kinds": torch.from_numpy(kinds),
    }


def sample_box(rng: np.random.Generator, mask: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The corners (x, y) of a box drawn round a mask, in an image of this size: float (2, 2).

    Some are exact, some as much too large at each side, most off by something else at each: by up
    to half of the object's size outwards, a tenth inwards.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    exact = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float64)
    kind = rng.random()
    if kind < _TIGHT_SHARE:
        off = np.zeros((2, 2))
    elif kind < _TIGHT_SHARE + _EVEN_SHARE:
        off = np.full((2, 2), rng.uniform(0, _MOST_OFF))
    else:
        off = rng.uniform(-_MOST_CUT, _MOST_OFF, (2, 2))
    drawn = exact + off * (exact[1] - exact[0]) * np.array([[-1], [1]])
    box: np.ndarray = drawn.clip(0, [size_hw[1], size_hw[0]])
    return box


def sample_correction(
    rng: np.random.Generator, mask: np.ndarray, truth: np.ndarray, scale: int
) -> tuple[tuple[float, float], int]:
    """A click, in the frame, where a mask is wrong, and its kind.

    mask and truth bool (s / scale, s / scale). Where nothing is wrong a click on the object.
    """
    error = find_largest_error(mask, truth)
    wrong, is_missing = (truth, True) if error is None else error
    x, y = _sample_point(rng, wrong)
    return (x * scale, y * scale), POSITIVE if is_missing else NEGATIVE


def _sample_point(rng: np.random.Generator, mask: np.ndarray) -> tuple[float, float]:
    """The middle (x, y) of the innermost pixel of a mask or of any."""
    if rng.random() < _INNERMOST_SHARE:
        return find_innermost(mask)
    pixels = np.argwhere(mask)
    row, column = pixels[rng.integers(len(pixels))]
    return float(column + 0.5), float(row + 0.5)
