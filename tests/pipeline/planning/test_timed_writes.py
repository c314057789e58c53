"""What a point of a full write costs, by a clock that only an index moves."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.planning.timed_writes import time_writing
from schemas.records import EmbeddedImage
from workers.protocols import VectorIndex

OBJECTS = 4


class SlowIndex:
    """Writes take `once` seconds and `each` more a point, tidying up `tidy`, first writes 100."""

    images_at_once = 64

    def __init__(self, once: float = 0.0, each: float = 0.0, tidy: float = 0.0) -> None:
        self.now, self.writes = 0.0, list[int]()
        self._once, self._each, self._tidy = once, each, tidy

    def clock(self) -> float:
        return self.now

    def replace_images(self, images: Sequence[Any]) -> None:
        points = sum(len(image.objects) + 1 for image in images)
        self.now += (0 if self.writes else 100) + self._once + self._each * points
        self.writes.append(points)

    def optimize(self) -> None:
        self.now += self._tidy


def time_of(index: SlowIndex, images: int) -> float:
    made = [SimpleNamespace(objects=range(OBJECTS)) for _ in range(images)]
    return time_writing(cast(VectorIndex, index), cast(list[EmbeddedImage], made), index.clock)


@pytest.mark.parametrize("images", [16, 64, 200])
def test_a_fixed_cost_is_shared_by_the_points_of_a_full_write(images: int) -> None:
    index = SlowIndex(once=2.0, each=0.005, tidy=1.0)
    full = max(64 * 5, index_points(images))
    assert time_of(index, images) == pytest.approx(0.005 + 3.0 / full)
    assert sum(index.writes) == images * 5


def index_points(images: int) -> int:
    """Of the larger of the two timed writes."""
    rest = images - images // 8
    return (rest - rest // 4) * 5


@pytest.mark.parametrize("images", [1, 2, 3])
def test_few_images_are_timed_as_they_are(images: int) -> None:
    assert time_of(SlowIndex(each=0.01), images) == pytest.approx(0.01)


def test_a_small_write_that_took_longer_says_nothing() -> None:
    class Disturbed(SlowIndex):
        def optimize(self) -> None:
            self.now += 50 if len(self.writes) == 2 else 1

    # Of 16 images 11 are in the larger write.
    assert time_of(Disturbed(each=0.01), 16) == pytest.approx(0.01 + 1 / 55)


def test_no_cost_is_below_zero() -> None:
    class Warming(SlowIndex):
        def optimize(self) -> None:
            self.now += 0.0 if len(self.writes) == 2 else 10.0

    # The line through both would begin below zero.
    assert time_of(Warming(each=0.01), 16) == pytest.approx(0.01 + 10 / 55)
