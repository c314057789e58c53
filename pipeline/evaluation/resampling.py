"""Tells how far figures may be chance, by measuring them on resamples of images or queries."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.int64]
"""How often each unit (an image, a query) counts: int64 (units,)."""
SAMPLES = 200
"""How often units are drawn anew for an interval."""
_INTERVAL = (2.5, 97.5)  # per cent: 95 lie within
_SEED = 0
_Measured = TypeVar("_Measured")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, None where there is nothing to measure, and the interval of 95% of resamples.

    Units are drawn with replacement (B. Efron's bootstrap), so that objects of one image stay
    together.
    """

    value: float | None
    low: float | None
    high: float | None


def resample(
    measure: Callable[[Weights], _Measured],
    units: int,
    samples: int = SAMPLES,
    note: Callable[[int], None] = lambda measured: None,
) -> list[_Measured]:
    """What `measure` says of each resample, always the same ones of so many units.

    `note` is called with how many are measured. Threads share the work, as compiled loops let
    others run meanwhile: `measure` changes nothing.
    """
    random = np.random.default_rng(_SEED)
    drawn = [_draw_weights(random, units) for _ in range(samples)]
    measured = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for number, each in enumerate(pool.map(measure, drawn), start=1):
            measured.append(each)
            note(number)
    return measured


def describe_figure(
    value: float | None, drawn: Sequence[float | None], least: float = 0.0
) -> Figure:
    """A figure of `least` to 1 with where 95% of what resamples gave lies; None tells nothing.

    Their mean is moved to the figure, as it need not be there: precision is that of the best recall
    from each on, which is the higher the fewer images there are, and a resample has some twice.
    """
    known = [each for each in drawn if each is not None]
    if value is None or not known:
        return Figure(value, None, None)
    moved = np.percentile(known, _INTERVAL) + (value - np.mean(known))
    low, high = np.clip(moved, least, 1.0)
    return Figure(value, float(low), float(high))


def _draw_weights(random: np.random.Generator, units: int) -> Weights:
    return np.bincount(random.integers(0, units, units), minlength=units)
