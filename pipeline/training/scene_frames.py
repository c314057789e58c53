"""Draws frames of the demo segmenter from cached scenes: pixels, instances, whom to train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from pipeline.demo.scenes import MAX_OBJECTS
from workers.models.sam_demo_architecture import IMG_SIZE

OUTSIDE, _PADDING = 255, (124, 116, 104)  # instance number and colour of padding
_PORTRAIT_SHARE, _WINDOW_SHARE, _MAX_ZOOM = 0.2, 0.4, 1.8
_MIN_INSIDE = 0.9
_RECOLOUR_SHARE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Image uint8 (3, s, s), ids uint8 (s, s), and which of these instances are targets."""

    image: Tensor
    ids: np.ndarray
    targets: list[int]


def start_worker(seed: tuple[int, ...]) -> np.random.Generator:
    """The random numbers of this worker of a loader."""
    worker = get_worker_info()
    return np.random.default_rng([*seed, worker.id if worker else 0])


def draw_frames(
    rng: np.random.Generator, caches: Sequence[Path], min_visible: float, min_area_px: int
) -> Iterator[Frame]:
    """An endless stream of frames that have a target.

    Targets are visible by a share of more than `min_visible` in their scene, whole in the frame,
    and have `min_area_px` there. Scenes are drawn in proportion to their number of such visible
    objects, because every object counts the same in an evaluation. Who reads may draw from `rng`
    between frames.
    """
    images = [np.load(cache / "images.npy", mmap_mode="r") for cache in caches]
    instances = [np.load(cache / "instances.npy", mmap_mode="r") for cache in caches]
    visible = [np.load(cache / "visible.npy") > min_visible for cache in caches]
    rows = [(cache, row) for cache, flags in enumerate(visible) for row in range(len(flags))]
    until = np.cumsum(np.concatenate([flags.sum(axis=1) for flags in visible]))
    while True:
        cache, row = rows[np.searchsorted(until, rng.integers(until[-1]), side="right")]
        scene_ids = instances[cache][row]
        inside = sample_window(rng, scene_ids.shape)
        is_target = visible[cache][row] & find_whole(scene_ids, inside)
        image, ids = make_frame(rng, images[cache][row][inside], scene_ids[inside])
        candidates = np.flatnonzero(is_target).tolist()
        if targets := [k for k in candidates if (ids == k).sum() >= min_area_px]:
            yield Frame(torch.from_numpy(image).permute(2, 0, 1), ids, targets)


def sample_window(rng: np.random.Generator, hw: tuple[int, ...]) -> tuple[slice, slice]:
    """The whole of a scene (height, width), or a window like the mask generator's crops.

    Scenes are landscapes; some windows are portraits, as images in a bucket may be.
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


def find_whole(ids: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """Which instances of a scene lie in a window nearly whole: bool (13,).

    The mask generator drops objects that its crops cut off.
    """
    whole = np.bincount(ids.ravel(), minlength=MAX_OBJECTS + 1)
    part = np.bincount(ids[inside].ravel(), minlength=MAX_OBJECTS + 1)
    return (part > 0) & (part >= _MIN_INSIDE * whole)


def make_frame(
    rng: np.random.Generator, image: np.ndarray, ids: np.ndarray, recolour: bool = True
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
    if recolour and rng.random() < _RECOLOUR_SHARE:
        pixels = pixels[..., rng.permutation(3)]
    full = np.full((IMG_SIZE, IMG_SIZE, 3), _PADDING, np.uint8)
    full_ids = np.full((IMG_SIZE, IMG_SIZE), OUTSIDE, np.uint8)
    full[:rows, :columns], full_ids[:rows, :columns] = pixels, labels
    return full, full_ids
