"""Training samples for `sam_demo`: cached scenes with prompts and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.demo.scenes import MAX_OBJECTS
from workers.models.sam_demo_architecture import IMG_SIZE, STRIDE

MASK_STRIDE = 2
OUTSIDE, _PADDING = 255, (124, 116, 104)  # instance number and colour of padding
_BOX_UNIT_PX = 16.0
_CELLS = IMG_SIZE // STRIDE
_SCORED_CELLS = 640  # of _CELLS squared: where a prompt's mask is upscaled and compared
_NEAR_SHARE, _MARGIN_CELLS = 0.75, 2
_MIN_VISIBLE, _MIN_AREA_PX = 0.25, 16
_PORTRAIT_SHARE, _WINDOW_SHARE, _MAX_ZOOM = 0.2, 0.4, 1.8
_MIN_INSIDE = 0.9
_BACKGROUND_SHARE, _BOX_SHARE = 0.12, 0.1
_RECOLOUR_SHARE = 0.2


class Samples(IterableDataset[dict[str, Tensor]]):
    """Endless cached scenes, the fuller the more often, with targets and, if any, `prompts`.

    As often as it has objects, because every object counts alike when a model is judged.
    """

    def __init__(self, caches: Sequence[Path], prompts: int, seed: tuple[int, ...]) -> None:
        self.caches, self.prompts, self.seed = caches, prompts, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng([*self.seed, worker.id if worker else 0])
        images = [np.load(cache / "images.npy", mmap_mode="r") for cache in self.caches]
        instances = [np.load(cache / "instances.npy", mmap_mode="r") for cache in self.caches]
        visible = [np.load(cache / "visible.npy") > _MIN_VISIBLE for cache in self.caches]
        place = [(cache, row) for cache, shown in enumerate(visible) for row in range(len(shown))]
        until = np.cumsum(np.concatenate([shown.sum(axis=1) for shown in visible]))
        while True:
            cache, row = place[np.searchsorted(until, rng.integers(until[-1]), side="right")]
            scene_ids = instances[cache][row]
            inside = window(rng, scene_ids.shape)
            counted = visible[cache][row] & inside_enough(scene_ids, inside)
            image, ids = frame(rng, images[cache][row][inside], scene_ids[inside])
            candidates = np.flatnonzero(counted).tolist()
            shown = [k for k in candidates if (ids == k).sum() >= _MIN_AREA_PX]
            if shown:
                pixels = {"image": torch.from_numpy(image).permute(2, 0, 1), **dense_targets(ids)}
                if self.prompts:
                    pixels |= prompted(rng, ids, shown, self.prompts)
                yield pixels


def window(rng: np.random.Generator, hw: tuple[int, ...]) -> tuple[slice, slice]:
    """All of a scene (height, width), or a part as the mask generator's crops are.

    The scenes lie; some of the windows stand, as a bucket's images do.
    """
    height, width = hw
    zoom, kind = _MAX_ZOOM ** rng.random(), rng.random()
    if kind < _PORTRAIT_SHARE:
        zoom = max(zoom, width / height)
        height, width = round(width / zoom), round(height / zoom)
    elif kind < _PORTRAIT_SHARE + _WINDOW_SHARE:
        height, width = round(height / zoom), round(width / zoom)
    top, left = rng.integers(hw[0] - height + 1), rng.integers(hw[1] - width + 1)
    return slice(top, top + height), slice(left, left + width)


def inside_enough(ids: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """Of which instances of a scene a window cuts off next to nothing: bool (13,).

    The mask generator drops what its crops cut off.
    """
    whole = np.bincount(ids.ravel(), minlength=MAX_OBJECTS + 1)
    part = np.bincount(ids[inside].ravel(), minlength=MAX_OBJECTS + 1)
    return (part > 0) & (part >= _MIN_INSIDE * whole)


def frame(
    rng: np.random.Generator, image: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale to the model's frame, flip, permute colours: uint8 (s, s, 3) and uint8 (s, s).

    Padding has segment-anything's mean colour, so that it is 0 once normalised, and number 255.
    """
    scale = IMG_SIZE / max(ids.shape)
    rows, columns = round(ids.shape[0] * scale), round(ids.shape[1] * scale)
    small = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
    small_ids = Image.fromarray(ids).resize((columns, rows), Image.Resampling.NEAREST)
    pixels, labels = np.asarray(small), np.asarray(small_ids)
    if rng.random() < 0.5:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    if rng.random() < _RECOLOUR_SHARE:
        pixels = pixels[..., rng.permutation(3)]
    full = np.full((IMG_SIZE, IMG_SIZE, 3), _PADDING, np.uint8)
    full_ids = np.full((IMG_SIZE, IMG_SIZE), OUTSIDE, np.uint8)
    full[:rows, :columns], full_ids[:rows, :columns] = pixels, labels
    return full, full_ids


def _means(mask: np.ndarray, size: int) -> np.ndarray:
    """Mean of a bool (w, w) map over cells of `size` pixels: float32 (w / size, w / size)."""
    side = mask.shape[0] // size
    means: np.ndarray = mask.reshape(side, size, side, size).mean(axis=(1, 3), dtype=np.float32)
    return means


def scored_cells(rng: np.random.Generator, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a frame where a prompt's mask is compared, and how many cells each stands for.

    near bool (_CELLS, _CELLS): the object's surroundings, taken whole unless they are too many.
    Returns int64 (_SCORED_CELLS,), places in the flattened frame, and float32 (_SCORED_CELLS,).
    """
    inner, outer = np.flatnonzero(near), np.flatnonzero(~near)
    count = min(len(inner), round(_SCORED_CELLS * _NEAR_SHARE))
    count = max(count, _SCORED_CELLS - len(outer))
    rest = _SCORED_CELLS - count
    cells = np.concatenate([rng.permutation(inner)[:count], rng.permutation(outer)[:rest]])
    shares = [len(inner) / max(count, 1)] * count, [len(outer) / max(rest, 1)] * rest
    return cells, np.concatenate(shares).astype(np.float32)


def prompted(
    rng: np.random.Generator, ids: np.ndarray, shown: list[int], count: int
) -> dict[str, Tensor]:
    """Prompts of one frame and the masks that they ask for."""
    patch = STRIDE // MASK_STRIDE
    points, boxes = np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float32)
    masks = np.zeros((count, _SCORED_CELLS, patch, patch), np.float32)
    cells, weights = np.zeros(masks.shape[:2], np.int64), np.ones(masks.shape[:2], np.float32)
    on_object = np.ones(count, bool)
    as_box = rng.random() < _BOX_SHARE
    empty = np.argwhere(ids == 0)
    order = rng.permutation(len(shown))
    for prompt in range(count):
        if not as_box and len(empty) and rng.random() < _BACKGROUND_SHARE:
            points[prompt] = empty[rng.integers(len(empty))][::-1] + 0.5
            on_object[prompt] = False
            cells[prompt], weights[prompt] = scored_cells(rng, np.zeros((_CELLS, _CELLS), bool))
            continue
        mask = ids == shown[order[prompt % len(order)]]
        where = np.argwhere(mask)
        points[prompt] = where[rng.integers(len(where))][::-1] + 0.5
        (y0, x0), (y1, x1) = where.min(axis=0), where.max(axis=0) + 1
        jitter = rng.normal(0, 0.05, 4) * np.array([x1 - x0, y1 - y0] * 2)
        boxes[prompt] = np.array([x0, y0, x1, y1]) + jitter
        near = np.zeros((_CELLS, _CELLS), bool)
        above, left = max(y0 // STRIDE - _MARGIN_CELLS, 0), max(x0 // STRIDE - _MARGIN_CELLS, 0)
        below, right = y1 // STRIDE + 1 + _MARGIN_CELLS, x1 // STRIDE + 1 + _MARGIN_CELLS
        near[above:below, left:right] = True
        cells[prompt], weights[prompt] = scored_cells(rng, near)
        patches = _means(mask, MASK_STRIDE).reshape(_CELLS, patch, _CELLS, patch).swapaxes(1, 2)
        masks[prompt] = patches.reshape(-1, patch, patch)[cells[prompt]]
    return {
        "points": torch.from_numpy(points),
        "boxes": torch.from_numpy(boxes),
        "as_box": torch.tensor(as_box),
        "masks": torch.from_numpy(masks),
        "scored_cells": torch.from_numpy(cells),
        "weights": torch.from_numpy(weights),
        "on_object": torch.from_numpy(on_object),
    }


def dense_targets(ids: np.ndarray) -> dict[str, Tensor]:
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
        mine = at_cell == number
        distances = (columns - xs.min(), rows - ys.min(), xs.max() - columns, ys.max() - rows)
        for side, distance in enumerate(distances):
            sides[side][mine] = distance[mine] / _BOX_UNIT_PX
    edge = _means(border, MASK_STRIDE) > 0
    maps = np.stack([_means(inside, MASK_STRIDE), edge.astype(np.float32)])
    return {
        "maps": torch.from_numpy(maps),
        "sides": torch.from_numpy(sides),
        "sides_weight": torch.from_numpy(weight),
        "cells": torch.from_numpy(at_cell.astype(np.int64)),
    }
