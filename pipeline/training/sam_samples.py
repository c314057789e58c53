"""Draws training samples for `sam_demo`: cached scenes with prompts and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from pipeline.training.scene_frames import OUTSIDE, draw_frames, start_worker
from workers.models.sam_demo_architecture import IMG_SIZE, STRIDE

MASK_STRIDE = 2
_BOX_UNIT_PX = 16.0
_CELLS = IMG_SIZE // STRIDE
_SCORED_CELLS = 640  # of _CELLS squared: where a prompt's mask is upscaled and scored
_NEAR_SHARE, _MARGIN_CELLS = 0.75, 2
_MIN_VISIBLE, _MIN_AREA_PX = 0.25, 16
_BACKGROUND_SHARE, _BOX_SHARE = 0.12, 0.1


class Samples(IterableDataset[dict[str, Tensor]]):
    """An endless stream of frames of cached scenes, with targets and `prompts` prompts each."""

    def __init__(self, caches: Sequence[Path], prompts: int, seed: tuple[int, ...]) -> None:
        self.caches, self.prompts, self.seed = caches, prompts, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rng = start_worker(self.seed)
        for frame in draw_frames(rng, self.caches, _MIN_VISIBLE, _MIN_AREA_PX):
            sample = {"image": frame.image} | make_dense_targets(frame.ids)
            if self.prompts:
                sample |= sample_prompts(rng, frame.ids, frame.targets, self.prompts)
            yield sample


def _mean_cells(mask: np.ndarray, size: int) -> np.ndarray:
    """Mean of a bool (w, w) map over cells of `size` pixels: float32 (w / size, w / size)."""
    side = mask.shape[0] // size
    means: np.ndarray = mask.reshape(side, size, side, size).mean(axis=(1, 3), dtype=np.float32)
    return means


def sample_scored_cells(
    rng: np.random.Generator, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the cells of a frame where a prompt's mask is scored, and how many each stands for.

    near bool (_CELLS, _CELLS): the object's surroundings, taken whole unless they are too many.
    Returns int64 (_SCORED_CELLS,), indices into the flattened frame, and float32 (_SCORED_CELLS,).
    """
    inner, outer = np.flatnonzero(near), np.flatnonzero(~near)
    count = min(len(inner), round(_SCORED_CELLS * _NEAR_SHARE))
    count = max(count, _SCORED_CELLS - len(outer))
    rest = _SCORED_CELLS - count
    cells = np.concatenate([rng.permutation(inner)[:count], rng.permutation(outer)[:rest]])
    shares = [len(inner) / max(count, 1)] * count, [len(outer) / max(rest, 1)] * rest
    return cells, np.concatenate(shares).astype(np.float32)


def sample_prompts(
    rng: np.random.Generator, ids: np.ndarray, targets: list[int], count: int
) -> dict[str, Tensor]:
    """Sample `count` prompts for the instances `targets` of a frame, with their masks."""
    patch = STRIDE // MASK_STRIDE
    points, boxes = np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float32)
    masks = np.zeros((count, _SCORED_CELLS, patch, patch), np.float32)
    cells, weights = np.zeros(masks.shape[:2], np.int64), np.ones(masks.shape[:2], np.float32)
    on_object = np.ones(count, bool)
    as_box = rng.random() < _BOX_SHARE
    empty = np.argwhere(ids == 0)
    order = rng.permutation(len(targets))
    for prompt in range(count):
        if not as_box and len(empty) and rng.random() < _BACKGROUND_SHARE:
            points[prompt] = _sample_point(rng, empty)
            on_object[prompt] = False
            near = np.zeros((_CELLS, _CELLS), bool)
            cells[prompt], weights[prompt] = sample_scored_cells(rng, near)
            continue
        mask = ids == targets[order[prompt % len(order)]]
        pixels = np.argwhere(mask)
        points[prompt] = _sample_point(rng, pixels)
        boxes[prompt] = _sample_box(rng, pixels)
        cells[prompt], weights[prompt] = sample_scored_cells(rng, _surround(pixels))
        patches = _mean_cells(mask, MASK_STRIDE).reshape(_CELLS, patch, _CELLS, patch)
        masks[prompt] = patches.swapaxes(1, 2).reshape(-1, patch, patch)[cells[prompt]]
    return {
        "points": torch.from_numpy(points),
        "boxes": torch.from_numpy(boxes),
        "as_box": torch.tensor(as_box),
        "masks": torch.from_numpy(masks),
        "scored_cells": torch.from_numpy(cells),
        "weights": torch.from_numpy(weights),
        "on_object": torch.from_numpy(on_object),
    }


def _sample_point(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """The middle of one of `pixels`, int (n, 2), row and column: x and y."""
    point: np.ndarray = pixels[rng.integers(len(pixels))][::-1] + 0.5
    return point


def _sample_box(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """A box (xyxy) around `pixels`, int (n, 2), row and column, jittered as if drawn by hand."""
    (y0, x0), (y1, x1) = pixels.min(axis=0), pixels.max(axis=0) + 1
    jitter = rng.normal(0, 0.05, 4) * np.array([x1 - x0, y1 - y0] * 2)
    box: np.ndarray = np.array([x0, y0, x1, y1]) + jitter
    return box


def _surround(pixels: np.ndarray) -> np.ndarray:
    """The cells of the box around `pixels`, with a margin: bool (_CELLS, _CELLS)."""
    (y0, x0), (y1, x1) = pixels.min(axis=0), pixels.max(axis=0) + 1
    near = np.zeros((_CELLS, _CELLS), bool)
    top, left = max(y0 // STRIDE - _MARGIN_CELLS, 0), max(x0 // STRIDE - _MARGIN_CELLS, 0)
    bottom, right = y1 // STRIDE + 1 + _MARGIN_CELLS, x1 // STRIDE + 1 + _MARGIN_CELLS
    near[top:bottom, left:right] = True
    return near


def make_dense_targets(ids: np.ndarray) -> dict[str, Tensor]:
    """Foreground and borders at stride 2; instance, distances to its box's sides at stride 8."""
    inside = (ids > 0) & (ids < OUTSIDE)
    border = np.zeros_like(inside)
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    border[1:] |= ids[1:] != ids[:-1]
    at_cell = ids[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    sides = np.zeros((4, *at_cell.shape), np.float32)
    weight = ((at_cell > 0) & (at_cell < OUTSIDE)).astype(np.float32)
    rows, columns = (np.mgrid[: at_cell.shape[0], : at_cell.shape[1]] + 0.5) * STRIDE
    for number in np.unique(at_cell[weight > 0]):
        ys, xs = np.nonzero(ids == number)
        is_instance = at_cell == number
        distances = (columns - xs.min(), rows - ys.min(), xs.max() - columns, ys.max() - rows)
        for side, distance in enumerate(distances):
            sides[side][is_instance] = distance[is_instance] / _BOX_UNIT_PX
    edge = _mean_cells(border, MASK_STRIDE) > 0
    maps = np.stack([_mean_cells(inside, MASK_STRIDE), edge.astype(np.float32)])
    return {
        "maps": torch.from_numpy(maps),
        "sides": torch.from_numpy(sides),
        "sides_weight": torch.from_numpy(weight),
        "cells": torch.from_numpy(at_cell.astype(np.int64)),
    }
