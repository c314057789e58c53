"""Times writing to an index, as it is once a run writes many images together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.records import EmbeddedImage
from workers.protocols import VectorIndex


@dataclass(frozen=True, slots=True)
class _Write:
    points: int
    seconds: float


def time_writing(
    index: VectorIndex,
    images: Sequence[EmbeddedImage],
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds a point of a write of as many images as a run writes together.

    What a write costs however little is written is told from what a point costs by two of them, and
    is shared by the points of a full one. `index` is empty, and has these images afterwards.
    """
    first = max(1, len(images) // 8)
    rest = images[first:] or images
    few, many = rest[: len(rest) // 4], rest[len(rest) // 4 :]
    index.replace_images(images[:first])  # the first write of an index makes what is needed once
    small = _write(index, few, clock) if few else None
    large = _write(index, many, clock)
    full = max(large.points, round(large.points / len(many) * index.images_at_once))
    return _share_out(small, large, full)


def _write(
    index: VectorIndex, images: Sequence[EmbeddedImage], clock: Callable[[], float]
) -> _Write:
    started = clock()
    index.replace_images(images)
    index.optimize()  # as a run does whenever it has written many
    return _Write(sum(len(image.objects) + 1 for image in images), clock() - started)


def _share_out(small: _Write | None, large: _Write, full: int) -> float:
    """Seconds a point of a write of `full` points, on the line through two writes."""
    usual = large.seconds / large.points
    if small is None or small.points >= large.points or small.seconds >= large.seconds:
        return usual  # too few to tell, or other work on the machine
    each = (large.seconds - small.seconds) / (large.points - small.points)
    once = max(0.0, large.seconds - each * large.points)
    return min(each + once / full, usual)
