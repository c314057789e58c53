"""Counts the masks of many images in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice

from pipeline.evaluation.masks.detections import ImageMasks
from pipeline.evaluation.masks.evaluation import MaskEvaluation

FEW_IMAGES = 200
"""So many are counted sooner than processes have started."""
LOT = 50
"""Images that a process counts at a time, some megabytes of masks."""
_WAITING = 2  # such lots for each process, so that none is idle


def count_images(
    images: Iterable[ImageMasks],
    note: Callable[[int], None] = lambda counted: None,
    *,
    few_images: int = FEW_IMAGES,
    lot: int = LOT,
) -> MaskEvaluation:
    """The same as `MaskEvaluation.add` of one after the other, which few are counted by.

    `note` is called with how many are counted. What a process raises, this does. Only some lots
    of images are held at a time.
    """
    remaining = iter(images)
    first = list(islice(remaining, few_images + 1))
    processes = len(os.sched_getaffinity(0))
    evaluation = MaskEvaluation()
    if len(first) <= few_images or processes < 2:
        for image in chain(first, remaining):
            evaluation.add(image)
            note(evaluation.images)
        return evaluation
    # What is forked from a process with threads may wait for ever.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn) as pool:
        lots = _cut(chain(first, remaining), lot)
        for counted in _count_lots(pool, lots, _WAITING * processes):
            evaluation.extend(counted)
            note(evaluation.images)
    return evaluation


def _count_lots(
    pool: ProcessPoolExecutor, lots: Iterable[list[ImageMasks]], most_waiting: int
) -> Iterator[MaskEvaluation]:
    """What each lot counts, in their order, however soon each is done."""
    waiting: deque[Future[MaskEvaluation]] = deque()
    for images in lots:
        waiting.append(pool.submit(_count, images))
        if len(waiting) == most_waiting:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _cut(images: Iterator[ImageMasks], lot: int) -> Iterator[list[ImageMasks]]:
    while taken := list(islice(images, lot)):
        yield taken


def _count(images: list[ImageMasks]) -> MaskEvaluation:
    evaluation = MaskEvaluation()
    for image in images:
        evaluation.add(image)
    return evaluation
