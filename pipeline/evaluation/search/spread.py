"""Tells what lies behind the figures of search: calibration, recall by rank, the worst queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.presence import BINS, find_bins
from pipeline.evaluation.search.figures import list_probabilities
from pipeline.evaluation.search.query_result import QueryResult
from pipeline.evaluation.shares import Share, describe_share


def bin_probabilities(results: Sequence[QueryResult]) -> list[Share]:
    """The right hits of all queries by how likely they are called, without bins that are empty."""
    pairs = [list_probabilities(result, len(result.hits)) for result in results]
    probabilities = np.concatenate([np.zeros(0), *(each for each, _ in pairs)])
    right = np.concatenate([np.zeros(0, np.bool_), *(each for _, each in pairs)])
    bins = find_bins(probabilities)
    parts = (bins == number for number in range(BINS))
    return [describe_share(probabilities[part], right[part]) for part in parts if part.any()]


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
