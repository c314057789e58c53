"""Tells how a share depends on a number: in bins of as many as each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_DEVIATIONS = 1.96  # of a normal distribution: 95% lie within


@dataclass(frozen=True, slots=True)
class Share:
    """Of `count` whose numbers lie around `centre`, their mean: the share, and its 95% interval.

    E. B. Wilson's, which takes them to be independent of each other.
    """

    centre: float
    count: int
    share: float
    low: float
    high: float


def describe_share(numbers: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_]) -> Share:
    """The share of hits among numbers that are alike, (n,) both, one or more."""
    right = int(np.count_nonzero(hits))
    low, high = wilson_interval(right, len(hits))
    return Share(float(numbers.mean()), len(hits), right / len(hits), low, high)


def bin_shares(
    numbers: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_], most: int, least: int
) -> list[Share]:
    """The share of hits in at most `most` bins by number, (n,) both, of `least` or more each.

    Equal numbers share a bin. One bin if there are fewer; none of nothing.
    """
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable")
    numbers, hits = numbers[order], hits[order]
    bins = max(1, min(most, len(numbers) // least))
    starts = np.arange(bins) * len(numbers) // bins
    # Each begins where the first of equal numbers is.
    edges = np.unique(np.searchsorted(numbers, numbers[starts])).tolist()
    return [
        describe_share(numbers[first:end], hits[first:end])
        for first, end in zip(edges, [*edges[1:], len(numbers)], strict=True)
    ]


def measure_gap(shares: list[Share]) -> float:
    """The expected calibration error: how far shares are from centres, on average over all.

    M. P. Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015.
    """
    count = sum(each.count for each in shares)
    return sum(each.count * abs(each.share - each.centre) for each in shares) / count


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share, `hits` of `count`, which is not 0."""
    share, square = hits / count, _DEVIATIONS**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = share * (1 - share) / count + square / (4 * count**2)
    reach = _DEVIATIONS * math.sqrt(spread) / (1 + square / count)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)
