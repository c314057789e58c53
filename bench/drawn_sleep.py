"""Models that sleep for as long as each image is known to take, and end on some images.

They stand for real ones where machinery is measured, not models. An image's number stands in its
first pixel; its seconds are drawn from a seed, so that a simulation can have the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from bench.sleeping_models import MeanEmbedder
from pipeline.runners.recipe import Recipe, build_no_labeller, build_recipe
from pipeline.settings import Settings
from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask

_SIDE_PX = 16
_WIDTH_PX = 24


@dataclass(frozen=True)
class Sleep:
    """`images` whose mean is `mean_s`, lognormal of sigma `spread`; the `killing` end a worker.

    Workers note in `notes` what they begin, and in `pids` who they are.
    """

    images: int
    mean_s: float
    spread: float
    seed: int
    killing: tuple[int, ...]
    rejected: tuple[int, ...]
    notes: Path = field(default=Path())

    @property
    def pids(self) -> Path:
        return self.notes.with_suffix(".pids")

    def draw(self) -> list[float]:
        """Seconds of each image."""
        random = np.random.default_rng(self.seed)
        drawn = random.lognormal(-(self.spread**2) / 2, self.spread, self.images)
        return [float(each) for each in self.mean_s * drawn]


class DrawnSegmenter:
    """One object in every image: what is bright."""

    name = "sleeping"
    notes: tuple[str, ...] = ()

    def __init__(self, sleep: Sleep) -> None:
        self.fingerprint = fingerprint({"segmenter": self.name})
        self._sleep, self._seconds = sleep, sleep.draw()
        _note(sleep.pids, str(os.getpid()))

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        numbers = [_read_number(image) for image in images]
        _note(self._sleep.notes, " ".join(map(str, numbers)))
        for number in numbers:
            time.sleep(self._seconds[number])
            if number in self._sleep.killing:
                os._exit(1)
        return [[_find_bright(image)] for image in images]


def build_drawn_recipe(settings: Settings, sleep: Sleep) -> Recipe:
    """The recipe of `settings` with these models, and no labels."""
    made = build_recipe(settings)
    return replace(
        made,
        segmenter=partial(DrawnSegmenter, sleep),
        embedder=MeanEmbedder,
        labeller=build_no_labeller,
    )


def write_images(folder: Path, sleep: Sleep) -> None:
    """A file for each image; those that are `rejected` are none."""
    folder.mkdir()
    for number in range(sleep.images):
        path = folder / f"{number:06}.png"
        if number in sleep.rejected:
            path.write_bytes(b"no image")
            continue
        pixels = np.full((_SIDE_PX, _WIDTH_PX, 3), 40, np.uint8)
        pixels[0, 0] = number >> 16, number >> 8 & 255, number & 255
        pixels[4:12, 4:16] = 255, 255, 200
        Image.fromarray(pixels).save(path)


def _read_number(image: UInt8Image) -> int:
    high, middle, low = (int(value) for value in image[0, 0])
    return high << 16 | middle << 8 | low


def _find_bright(image: UInt8Image) -> ObjectMask:
    mask = image[..., 0] > 240
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return ObjectMask(
        CocoRle.from_mask(mask), box, int(mask.sum()), 0.9, 0.9, (float(box[0]), float(box[1]))
    )


def _note(path: Path, line: str) -> None:
    # One write: two workers may note at a time.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)
