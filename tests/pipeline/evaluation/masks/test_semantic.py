"""Classes of pixels, held against maps of classes, and confusions by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.masks.confusion import Confusion
from pipeline.evaluation.masks.detections import FoundMask, ImageMasks, TrueMask
from pipeline.evaluation.masks.disjoint import share_pixels
from pipeline.evaluation.masks.overlaps import measure_overlaps
from pipeline.evaluation.masks.semantic import NO_CLASS, PixelCounts
from schemas.masks import CocoRle

SIZE_HW = (24, 31)
VOID, CLASSES = 9, 4


def draw_classes(rng: np.random.Generator, *, void: bool) -> np.ndarray:
    """A map of classes, -1 for none, and 9 for void."""
    drawn = np.full(SIZE_HW, NO_CLASS)
    for _ in range(rng.integers(0, 7)):
        y, x = rng.integers(0, 24), rng.integers(0, 31)
        h, w = rng.integers(1, 15, 2)
        drawn[y : y + h, x : x + w] = VOID if void and rng.random() < 0.2 else rng.integers(CLASSES)
    return drawn


def split(drawn: np.ndarray) -> list[tuple[int, CocoRle]]:
    """Classes with their masks, some as two of them."""
    masks = []
    for number in range(CLASSES):
        for half in (np.arange(31) < 13, np.arange(31) >= 13):
            mask = (drawn == number) & half
            if mask.any():
                masks.append((number, CocoRle.from_mask(mask)))
    return masks


@pytest.mark.parametrize("seed", range(40))
def test_pixels_are_counted_as_in_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = PixelCounts()
    true, found = [], []
    for _ in range(3):
        true.append(draw_classes(rng, void=True))
        found.append(np.roll(np.where(true[-1] == VOID, NO_CLASS, true[-1]), 2, axis=1))
        found[-1][rng.random(SIZE_HW) < 0.05] = rng.integers(CLASSES)
        void = CocoRle.from_mask(true[-1] == VOID)
        (found_classes, found_masks), (true_classes, true_masks) = (
            zip(*split(side[-1]), strict=True) if split(side[-1]) else ((), ())
            for side in (found, true)
        )
        shared = share_pixels(SIZE_HW, found_masks, true_masks, void)
        counted_px = int((true[-1] != VOID).sum())
        counts.count(shared, found_classes, true_classes, counted_px)
    weights = rng.integers(0, 3, 3)
    for times in (np.ones(3, np.int64), weights):
        scores = counts.measure(times)
        maps = [(t, f) for t, f, n in zip(true, found, times, strict=True) for _ in range(n)]
        t = np.concatenate([one.ravel() for one, _ in maps]) if maps else np.zeros(0)
        f = np.concatenate([one.ravel() for _, one in maps]) if maps else np.zeros(0)
        t, f = t[t != VOID], f[t != VOID]
        expected = {
            n: ((t == n) & (f == n)).sum() / ((t == n) | (f == n)).sum()
            for n in range(NO_CLASS, CLASSES)
            if (t == n).any()
        }
        found_iou = {one.category: one.iou for one in scores.classes if one.true_px}
        background = expected.pop(NO_CLASS, 0.0)
        assert found_iou == pytest.approx(expected)
        assert scores.background.iou == pytest.approx(background)
        if expected:
            share = {n: (t == n).sum() for n in expected}
            weighted = sum(expected[n] * share[n] for n in expected) / sum(share.values())
            assert scores.miou == pytest.approx(np.mean(list(expected.values())))
            assert scores.frequency_weighted_iou == pytest.approx(weighted)


def test_nothing_has_no_score() -> None:
    scores = PixelCounts().measure()
    assert (scores.miou, scores.frequency_weighted_iou, scores.classes) == (None, None, ())


def square(left: int, width: int = 8) -> CocoRle:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[:10, left : left + width] = True
    return CocoRle.from_mask(mask)


def test_each_mask_is_taken_for_the_class_of_its_best_pair() -> None:
    true = [TrueMask(square(0), 0, 80), TrueMask(square(10), 1, 80), TrueMask(square(20), 2, 80)]
    crowd = TrueMask(CocoRle.from_mask(np.arange(24 * 31).reshape(SIZE_HW) > 600), 3, 143, True)
    found = [
        FoundMask(square(0, 7), 0, 0.9),
        FoundMask(square(0), 1, 0.1),  # a better pair of the first, of another class
        FoundMask(square(10), 1, 0.5),
        FoundMask(CocoRle.from_mask(np.arange(24 * 31).reshape(SIZE_HW) > 700), 2, 0.5),
    ]
    image = ImageMasks.of(SIZE_HW, [*true, crowd], found)
    confusion = Confusion()
    confusion.add(image, measure_overlaps(image))
    assert confusion.pairs == {(0, 1): 1, (1, 1): 1, (2, None): 1, (None, 0): 1}
    assert confusion.ious == [1.0, 1.0]
    assert confusion.class_accuracy == 0.5
    assert Confusion().class_accuracy is None


def test_a_pixel_is_of_the_first_mask_that_has_it() -> None:
    found = [square(0), square(3), square(6, 10)]  # the second has three of eight columns free
    shared = share_pixels(SIZE_HW, found, [square(0, 20)])
    assert shared.found_px.tolist() == [80, 0, 80]
    assert shared.common_px.tolist() == [[80], [0], [80]]
    assert (shared.true_px.tolist(), shared.void_px.tolist()) == ([200], [0, 0, 0])
    void = share_pixels(SIZE_HW, found[:1], [square(4, 4)], square(0, 4))
    assert (void.common_px.tolist(), void.void_px.tolist()) == ([[40]], [40])
    nothing = share_pixels(SIZE_HW, [], [])
    assert (nothing.common_px.shape, nothing.void_px.shape) == ((0, 0), (0,))
