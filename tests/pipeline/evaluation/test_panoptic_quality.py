"""Panoptic quality by the paper's rules, held against maps of ids compared pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from support.drawn_segments import SIZE_HW, VOID, Ids, disturb, draw_ids, measure_slowly

from pipeline.evaluation.panoptic_quality import PanopticQuality, Quality, Segment
from schemas.masks import CocoRle


def make_segments(ids: Ids, kinds: dict[int, int], crowds: set[int] = frozenset()) -> list[Segment]:  # type: ignore[assignment]
    return [
        Segment(CocoRle.from_mask(ids == number), kind, number in crowds)
        for number, kind in kinds.items()
    ]


@pytest.mark.parametrize("seed", range(60))
def test_it_follows_the_rules_of_void_and_crowds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quality = PanopticQuality()
    images = []
    for _ in range(3):
        ids, kinds, crowds = draw_ids(rng, 9)
        found_ids, found_kinds = disturb(ids, kinds, rng)
        images.append((ids, kinds, crowds, found_ids, found_kinds))
        void = CocoRle.from_mask(ids == VOID)
        quality.add(make_segments(found_ids, found_kinds), make_segments(ids, kinds, crowds), void)
    pooled, mean = measure_slowly(images)
    assert quality.pooled.pq == pytest.approx(pooled, abs=1e-12)
    assert quality.mean.pq == pytest.approx(mean, abs=1e-12)
    assert quality.pooled.pq == pytest.approx(quality.pooled.sq * quality.pooled.rq)


def test_quality_is_how_well_pairs_fit_times_how_many_there_are() -> None:
    ids = np.zeros(SIZE_HW, np.int64)
    ids[:10, :10], ids[:10, 20:30] = 1, 2
    found = np.zeros(SIZE_HW, np.int64)
    found[:10, :8], found[20:, :10] = 1, 2
    quality = PanopticQuality()
    quality.add(make_segments(found, {1: 0, 2: 0}), make_segments(ids, {1: 0, 2: 0}))
    assert quality.pooled == Quality(pytest.approx(0.4), pytest.approx(0.8), pytest.approx(0.5))
    assert PanopticQuality().mean == Quality()
