"""Draws what images cost: how long the models take, and which are bad."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pipeline.planning.simulation.scenario import Scenario


class ImageWork(Protocol):
    """What is to be done to images, which are known by their numbers."""

    def seconds(self, images: range) -> float:
        """How long a worker is at them, those that cannot be decoded left out."""

    def rejected(self, images: range) -> int:
        """How many of them cannot be decoded."""

    def kills(self, images: range) -> bool:
        """Whether one of them ends the worker."""


class DrawnWork:
    """Work of `images` images, `mean_s` each, as a scenario spreads it."""

    def __init__(self, images: int, mean_s: float, scenario: Scenario, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._mean_s, self._sigma = mean_s, scenario.spread
        self._share = scenario.rejected
        number = self._random.poisson(images * scenario.killing)
        self._killing = sorted(self._random.integers(0, images, number).tolist())

    def seconds(self, images: range) -> float:
        if not self._sigma:
            return self._mean_s * len(images) * (1 - self._share)
        drawn = self._random.lognormal(-(self._sigma**2) / 2, self._sigma, len(images))
        return self._mean_s * float(drawn.sum()) * (1 - self._share)

    def rejected(self, images: range) -> int:
        return int(self._random.binomial(len(images), self._share)) if self._share else 0

    def kills(self, images: range) -> bool:
        return _touches(self._killing, images)


class KnownWork:
    """Work whose seconds are known image by image, as that of a real run is."""

    def __init__(
        self, seconds: Sequence[float], rejected: Sequence[int], killing: Sequence[int]
    ) -> None:
        self._until = [0.0]
        bad = set(rejected)
        for number, each in enumerate(seconds):
            self._until.append(self._until[-1] + (0.0 if number in bad else each))
        self._rejected, self._killing = sorted(rejected), sorted(killing)

    def seconds(self, images: range) -> float:
        return self._until[images.stop] - self._until[images.start]

    def rejected(self, images: range) -> int:
        first = bisect_left(self._rejected, images.start)
        return bisect_left(self._rejected, images.stop) - first

    def kills(self, images: range) -> bool:
        return _touches(self._killing, images)


def wait_s(rate_per_hour: float, random: np.random.Generator) -> float:
    """Until something happens the next time; for ever where it never does."""
    return float(random.exponential(3600 / rate_per_hour)) if rate_per_hour else math.inf


def _touches(numbers: Sequence[int], images: range) -> bool:
    first = bisect_left(numbers, images.start)
    return first < len(numbers) and numbers[first] < images.stop
