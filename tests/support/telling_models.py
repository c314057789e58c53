"""Segmenters that leave a line for each image, or each call: which, on which node, how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
from support import fakes
from support.waiting import PATIENCE_S, until

from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.images import UInt8Image
from schemas.masks import ObjectMask

MOST_IMAGES = 50
"""That `fakes.write_images` gives colours of their own."""


HELD_AT = 20
"""The image from which on a `TellingSegmenter` may be held."""


class TellingSegmenter(fakes.BrightSegmenter):
    """One that works on a first chunk, and on more once two nodes have had one.

    With `until_made` it keeps the chunk of the image `HELD_AT`, and those after it, until there is
    such a file.
    """

    def __init__(self, log: Path, until_made: Path | None = None) -> None:
        super().__init__()
        self._log, self._until_made = log, until_made
        self._has_worked = False

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        node = ray.get_runtime_context().get_node_id()
        with self._log.open("a") as log:
            log.writelines(f"{node} {image[-1, -1, 0]}\n" for image in images)
        if self._has_worked:
            until(lambda: len(set(read_nodes(self._log))) == 2)
        self._has_worked = True
        if self._until_made is not None and len(read_nodes(self._log)) >= HELD_AT:
            until(self._until_made.exists)
        return super().segment(images)


def telling_settings(index: Path, **changes: object) -> Settings:
    """Settings for two workers with a GPU each, which may wait for each other for long."""
    return fakes.settings(
        index,
        "ray",
        workers=2,
        cpus_per_worker=0.5,
        gpus_per_worker=1,
        stall_timeout_s=10 * PATIENCE_S,
        **changes,
    )


def telling_recipe(settings: Settings, log: Path, until_made: Path | None = None) -> Recipe:
    """The fakes for models, with a `TellingSegmenter`."""
    log.touch()
    return replace(fakes.recipe(settings), segmenter=partial(TellingSegmenter, log, until_made))


def read_nodes(log: Path) -> list[str]:
    """The node of each image that was given to a segmenter, in that order."""
    return [line.split()[0] for line in log.read_text().splitlines()]


def count_repeats(log: Path) -> int:
    """How often an image was given to a segmenter that had been given to one before."""
    counts = Counter(line.split()[1] for line in log.read_text().splitlines())
    return counts.total() - len(counts)


class NarrowSegmenter(fakes.BrightSegmenter):
    """One that has memory for `most` images at once; it leaves a line for each call."""

    def __init__(self, log: Path, most: int) -> None:
        super().__init__()
        self._log, self._most = log, most

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        with self._log.open("a") as log:
            log.write(f"{len(images)}\n")
        if len(images) > self._most:
            raise MemoryError
        return super().segment(images)


def read_sizes(log: Path) -> list[int]:
    """How many images each call of a `NarrowSegmenter` had."""
    return [int(line) for line in log.read_text().splitlines()]
