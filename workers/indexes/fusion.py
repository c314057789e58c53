"""Fuses ranks into one, and varies it: pure functions, for every kind of index."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from schemas.records import Float32Matrix, Float32Vector


def fuse_ranks(
    lists: Sequence[Sequence[uuid.UUID]], weights: Sequence[float], k: float
) -> list[uuid.UUID]:
    """All ids of some lists, best first, by the sum of `weight / (k + rank)`; ties by id.

    Ranks count from 1; what a list does not have gets nothing of it. Weighted reciprocal rank
    fusion, after G. V. Cormack, C. L. A. Clarke and S. Büttcher, 2009.
    """
    sums: dict[uuid.UUID, float] = defaultdict(float)
    for ids, weight in zip(lists, weights, strict=True):
        for rank, identity in enumerate(ids, start=1):
            sums[identity] += weight / (k + rank)
    return sorted(sums, key=lambda identity: (-sums[identity], str(identity)))


def vary(relevance: Float32Vector, vectors: Float32Matrix, diversity: float) -> list[int]:
    """All rows in the order of maximal marginal relevance; ties by row.

    `relevance` float32 (n,), `vectors` float32 (n, dim) unit rows, `diversity` 0 to 1. Each row in
    turn has the largest `(1 - diversity) * relevance - diversity * nearness`, where the nearness is
    the largest cosine to those before it (J. Carbonell and J. Goldstein, 1998).
    """
    left = np.ones(len(relevance), bool)
    nearness = np.zeros(len(relevance), np.float32)
    order: list[int] = []
    for turn in range(len(relevance)):
        marginal = (1 - diversity) * relevance - diversity * nearness
        # The first is the most relevant, whatever the diversity.
        worth = marginal if turn else relevance
        chosen = int(np.argmax(np.where(left, worth, -np.inf)))
        order.append(chosen)
        left[chosen] = False
        cosines = vectors @ vectors[chosen]
        nearness = np.maximum(nearness, cosines) if turn else cosines
    return order
