"""Boundaries of masks: held against a slow definition and faster-coco-eval, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import faster_coco_eval
import numpy as np
import pytest
from support.drawn_detections import describe_images, draw_image, draw_mask
from support.drawn_errors import ERRORS, draw_error, draw_true

from pipeline.evaluation.masks.average_precision import AREAS_PX, AveragePrecision
from pipeline.evaluation.masks.boundary import (
    cut_boundary,
    find_boundary_width,
    find_contour_tolerance,
    measure_boundary_iou,
    measure_boundary_overlaps,
    measure_contour_f,
)
from pipeline.evaluation.masks.detections import ImageMasks
from pipeline.evaluation.masks.overlaps import measure_overlaps
from schemas.masks import BoolMask, CocoRle


def erode_slowly(mask: BoolMask, times: int) -> BoolMask:
    """A pixel is taken off wherever one of its eight neighbours is not in the mask."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        height, width = mask.shape
        mask = np.all(
            [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0
        )
    return mask


def paste(mask: BoolMask, width_px: int) -> BoolMask:
    patch = cut_boundary(CocoRle.from_mask(mask), width_px)
    pasted = np.zeros_like(mask)
    height, width = patch.pixels.shape
    pasted[patch.y : patch.y + height, patch.x : patch.x + width] = patch.pixels
    assert pasted.sum() == patch.area_px
    return pasted


@pytest.mark.parametrize("seed", range(20))
def test_a_boundary_is_what_erosion_takes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size_hw = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    mask = draw_mask(rng, size_hw) ^ (rng.random(size_hw) < 0.02)
    for width_px in (1, 2, 5):
        np.testing.assert_array_equal(paste(mask, width_px), mask & ~erode_slowly(mask, width_px))


def test_widths_follow_the_diagonal() -> None:
    assert [find_boundary_width(size) for size in ((480, 640), (10, 10), (3000, 4000))] == [
        16, 1, 100,
    ]  # fmt: skip
    assert [find_contour_tolerance(size) for size in ((480, 640), (1, 1))] == [7, 1]


def measure_precision(images: Sequence[ImageMasks]) -> dict[str, float | None]:
    counting = AveragePrecision()
    for image in images:
        width_px = find_boundary_width(image.size_hw)
        overlaps = measure_boundary_overlaps(image, measure_overlaps(image), width_px)
        counting.add(image, overlaps)
    return dict(counting.measure().ap)


@pytest.mark.parametrize("seed", range(30))
def test_boundary_precision_agrees_with_faster_coco_eval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [draw_image(rng) for _ in range(rng.integers(1, 5))]
    true, found = describe_images(images)
    theirs = faster_coco_eval.COCOeval_faster(
        faster_coco_eval.COCO(true), faster_coco_eval.COCO(found), "boundary", print_function=list
    )
    theirs.evaluate()
    theirs.accumulate()
    precision = theirs.eval["precision"]
    expected = {}
    for row, name in enumerate(AREAS_PX):
        known = precision[..., row, -1][precision[..., row, -1] > -1]
        expected[name] = float(known.mean()) if known.size else None
    assert measure_precision(images) == pytest.approx(expected, abs=1e-9)


def contour_slowly(mask: BoolMask) -> BoolMask:
    """seg2bmap of DAVIS, a pixel at a time."""
    height, width = mask.shape
    contour = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            down, right = min(y + 1, height - 1), min(x + 1, width - 1)
            others = [(y, right), (down, x), (down, right)]
            if y == height - 1:
                others = [(y, right)]
            elif x == width - 1:
                others = [(down, x)]
            contour[y, x] = any(mask[y, x] != mask[other] for other in others)
    contour[-1, -1] = False
    return contour


def f_slowly(mask: BoolMask, true: BoolMask, tolerance: int) -> float:
    mine, theirs = (np.argwhere(contour_slowly(each)) for each in (mask, true))
    if not len(mine) or not len(theirs):
        return float(len(mine) == len(theirs))
    apart = ((mine[:, None] - theirs[None]) ** 2).sum(axis=-1) <= tolerance**2
    precision, recall = apart.any(axis=1).mean(), apart.any(axis=0).mean()
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


@pytest.mark.parametrize("seed", range(30))
def test_contours_are_those_of_davis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size_hw = (int(rng.integers(2, 40)), int(rng.integers(2, 40)))
    true = draw_mask(rng, size_hw)
    mask = np.roll(true, tuple(rng.integers(-3, 4, 2)), axis=(0, 1)) ^ (rng.random(size_hw) < 0.01)
    for tolerance in (1, 2, 4):
        found = measure_contour_f(CocoRle.from_mask(mask), CocoRle.from_mask(true), tolerance)
        assert found == pytest.approx(f_slowly(mask, true, tolerance), abs=1e-12)


def test_odd_masks_by_hand() -> None:
    empty, whole = np.zeros((40, 50), np.bool_), np.ones((40, 50), np.bool_)
    pixel = empty.copy()
    pixel[7, 9] = True
    rles = {name: CocoRle.from_mask(m) for name, m in (("", empty), (".", pixel), ("#", whole))}
    assert measure_boundary_iou(rles["."], rles["."], 3) == 1
    assert measure_boundary_iou(rles[""], rles[""], 3) == 0
    assert measure_boundary_iou(rles[""], rles["#"], 3) == 0
    # Of the whole image the boundary is its frame, in which the pixel is not.
    assert measure_boundary_iou(rles["#"], rles["."], 3) == 0
    assert measure_boundary_iou(rles["#"], rles["."], 8) == pytest.approx(1 / (2000 - 24 * 34))
    assert measure_contour_f(rles[""], rles[""], 2) == 1
    assert measure_contour_f(rles["#"], rles["#"], 2) == 1  # no contour, as none is inside
    assert measure_contour_f(rles["."], rles[""], 2) == 0
    assert measure_contour_f(rles[""], rles["."], 2) == 0


@pytest.mark.parametrize("error", ERRORS)
def test_each_error_lowers_every_measure_the_more_the_larger_it_is(error: str) -> None:
    wanted = CocoRle.from_mask(draw_true())
    scores = []
    for much in (0, 1, 3, 6):
        given = CocoRle.from_mask(draw_error(error, much))
        scores.append((measure_boundary_iou(given, wanted, 4), measure_contour_f(given, wanted, 1)))
    assert scores[0] == (1, 1)
    for better, worse in pairwise(scores):
        assert worse[0] < better[0]
        assert worse[1] <= better[1]
    assert scores[-1][1] < 0.9
