"""Tells what lies behind the figures of search: calibration, recall by rank, the worst queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.presence import BINS, find_bins
from pipeline.evaluation.prompts import wilson_interval
from pipeline.evaluation.search.figures import list_probabilities
from pipeline.evaluation.search.query_result import QueryResult


@dataclass(frozen=True, slots=True)
class ProbabilityBin:
    """Hits called about equally likely: the mean of it, and the share that is right.

    95% of such shares lie from `low` to `high`, if hits are independent of each other.
    """

    hits: int
    probability: float
    right: float
    low: float
    high: float


def bin_probabilities(results: Sequence[QueryResult]) -> list[ProbabilityBin]:
    """The hits of all queries by how likely they are called, without bins that are empty."""
    pairs = [list_probabilities(result, len(result.hits)) for result in results]
    shares = np.concatenate([np.zeros(0), *(share for share, _ in pairs)])
    right = np.concatenate([np.zeros(0, np.bool_), *(each for _, each in pairs)])
    bins = find_bins(shares)
    parts = (bins == number for number in range(BINS))
    return [_describe_bin(shares[part], right[part]) for part in parts if part.any()]


def _describe_bin(shares: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> ProbabilityBin:
    hits = int(np.count_nonzero(right))
    interval = wilson_interval(hits, len(right))
    return ProbabilityBin(len(right), float(shares.mean()), hits / len(right), *interval)


def trace_recall(results: Sequence[QueryResult], limit: int) -> list[float]:
    """The mean recall of queries for what is there, after 1 to `limit` hits; empty without any."""
    curves = []
    for result in results:
        if result.wanted:
            found = np.zeros(limit)
            found[: len(result.gains)] = result.gains
            curves.append(found.cumsum() / result.wanted)
    return np.mean(curves, axis=0).tolist() if curves else []


def count_ranks(results: Sequence[QueryResult]) -> dict[int | None, int]:
    """How many queries for what is there have their first right hit at each rank; None: none."""
    counts = Counter(result.first_rank for result in results if result.wanted)
    return dict(sorted(counts.items(), key=lambda pair: (pair[0] is None, pair[0])))


def list_worst(results: Sequence[QueryResult], most: int) -> list[QueryResult]:
    """Queries for what is there whose first hit is wrong, those of the latest right hit first."""

    def rate(result: QueryResult) -> tuple[bool, int, float, int]:
        rank = result.first_rank
        return rank is not None, -(rank or 0), sum(result.gains) / (result.wanted or 1), result.line

    return sorted((one for one in results if one.wanted and one.first_rank != 1), key=rate)[:most]


def list_mistaken(results: Sequence[QueryResult], most: int) -> list[QueryResult]:
    """Queries for what is not there of which a hit is called likely, the likeliest first."""
    mistaken = [one for one in results if one.wanted == 0 and one.is_weak is False]
    return sorted(mistaken, key=lambda one: (-find_likeliest(one), one.line))[:most]


def find_likeliest(result: QueryResult) -> float:
    """The highest probability of a hit; 0 where none is known."""
    return max((hit.probability or 0.0 for hit in result.hits), default=0.0)
