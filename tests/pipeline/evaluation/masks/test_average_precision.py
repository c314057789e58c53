"""Average precision and recall: held against pycocotools on drawn masks, and by hand."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.drawn_detections import SIZE_HW, describe_images, draw_image

from pipeline.evaluation.masks.average_precision import AREAS_PX, AveragePrecision, Precisions
from pipeline.evaluation.masks.detections import FoundMask, ImageMasks, TrueMask
from pipeline.evaluation.masks.overlaps import measure_overlaps
from schemas.masks import CocoRle


def measure(images: Sequence[ImageMasks], **how: object) -> Precisions:
    counting = AveragePrecision(**how)  # type: ignore[arg-type]
    for image in images:
        counting.add(image, measure_overlaps(image))
    return counting.measure()


def ask_pycocotools(
    images: Sequence[ImageMasks], most: tuple[int, ...], by_class: bool
) -> COCOeval:
    truth, found = COCO(), COCO()
    truth.dataset, found.dataset = describe_images(images)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "segm")
        evaluation.params.maxDets = list(most)
        evaluation.params.useCats = int(by_class)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def mean_of(values: np.ndarray) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize("seed", range(100))
def test_it_agrees_with_pycocotools(seed: int, by_class: bool) -> None:
    rng = np.random.default_rng(seed)
    images = [draw_image(rng) for _ in range(rng.integers(1, 5))]
    most = (1, 3, 6) if seed % 2 else (1, 10, 100)
    found = measure(images, most=most, by_class=by_class)
    theirs = ask_pycocotools(images, most, by_class).eval
    precision, recall = theirs["precision"], theirs["recall"]
    expected = {name: mean_of(precision[..., row, 2]) for row, name in enumerate(AREAS_PX)}
    assert found.ap == pytest.approx(expected, abs=1e-9)
    assert found.ap_50 == pytest.approx(mean_of(precision[0, :, :, 0, 2]), abs=1e-9)
    assert found.ap_75 == pytest.approx(mean_of(precision[5, :, :, 0, 2]), abs=1e-9)
    assert found.ar == pytest.approx(
        {count: mean_of(recall[:, :, 0, place]) for place, count in enumerate(most)}, abs=1e-9
    )
    assert found.ar_by_area == pytest.approx(
        {name: mean_of(recall[..., row, 2]) for row, name in enumerate(AREAS_PX) if row}, abs=1e-9
    )


def square(left: int, width: int = 20) -> CocoRle:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[10:30, left : left + width] = True
    return CocoRle.from_mask(mask)


def true(rle: CocoRle, *, crowd: bool = False) -> TrueMask:
    return TrueMask(rle, 0, float(rle.area_px), crowd)


def test_odd_ones_by_hand() -> None:
    nothing_there = measure([ImageMasks.of(SIZE_HW, [], [FoundMask(square(0), 0, 0.5)])])
    assert nothing_there.ap == dict.fromkeys(AREAS_PX)
    nothing_found = measure([ImageMasks.of(SIZE_HW, [true(square(0))], [])])
    assert (nothing_found.ap["all"], nothing_found.ar[100]) == (0, 0)
    assert nothing_found.ap["large"] is None
    # The wrong one is surer: precision is 1/2 at every recall.
    half = measure(
        [
            ImageMasks.of(
                SIZE_HW,
                [true(square(0))],
                [FoundMask(square(60), 0, 0.9), FoundMask(square(0), 0, 0.5)],
            )
        ]
    )
    assert half.ap["all"] == pytest.approx(0.5)
    assert (half.ar[1], half.ar[10]) == (0, 1)
    # What lies in a crowd is no mistake.
    crowd = ImageMasks.of(
        SIZE_HW,
        [true(square(0)), true(square(60, 80), crowd=True)],
        [FoundMask(square(70), 0, 0.9), FoundMask(square(0), 0, 0.5)],
    )
    assert measure([crowd]).ap["all"] == pytest.approx(1)


def test_images_that_count_twice_are_images_that_are_there_twice() -> None:
    rng = np.random.default_rng(5)
    images = [draw_image(rng) for _ in range(4)]
    counting = AveragePrecision()
    for image in images:
        counting.add(image, measure_overlaps(image))
    weighted = counting.measure(np.array([2, 0, 1, 3]))
    repeated = measure([images[n] for n in (0, 0, 2, 3, 3, 3)])
    assert weighted.ap["all"] == pytest.approx(repeated.ap["all"], abs=0.02)  # the order of ties
    assert weighted.ar == pytest.approx(repeated.ar)
