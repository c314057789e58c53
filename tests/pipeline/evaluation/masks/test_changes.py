"""Which objects changed the most, and what is plotted, with values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support.drawn_detections import draw_image

from pipeline.evaluation.masks.average_precision import AveragePrecision
from pipeline.evaluation.masks.changes import ObjectChanges
from pipeline.evaluation.masks.detections import FoundMask, ImageMasks, TrueMask
from pipeline.evaluation.masks.evaluation import MaskEvaluation
from pipeline.evaluation.masks.overlaps import measure_overlaps
from schemas.coco import CocoImage
from schemas.masks import CocoRle

SIZE_HW = (10, 40)
IMAGE = CocoImage(id=1, file_name="a.jpg", width=40, height=10)


def bar(first: int, end: int) -> CocoRle:
    """Columns of the image."""
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[:, first:end] = True
    return CocoRle.from_mask(mask)


def true(first: int, end: int, *, is_crowd: bool = False) -> TrueMask:
    return TrueMask(bar(first, end), 3, 10.0 * (end - first), is_crowd)


def image(wanted: list[TrueMask], *found: tuple[int, int]) -> ImageMasks:
    masks = [FoundMask(bar(*ends), 3, 0.5) for ends in found]
    return ImageMasks.of(SIZE_HW, wanted, masks)


def collect(most: int, *pairs: tuple[ImageMasks, ImageMasks]) -> ObjectChanges:
    changes = ObjectChanges(most)
    for first, second in pairs:
        changes.add(IMAGE, (first, second), (measure_overlaps(first), measure_overlaps(second)))
    return changes


def test_gains_and_losses_are_those_of_each_objects_best_mask() -> None:
    wanted = [true(0, 10), true(10, 20), true(20, 30), true(30, 40, is_crowd=True)]
    first = image(wanted, (0, 5), (0, 2), (10, 20), (20, 30))
    second = image(wanted, (0, 8), (20, 30))
    found = collect(5, (first, second))
    assert found.join().tolist() == [[0.5, 0.8], [1, 0], [1, 1]]
    (gain,), (loss,) = found.gains, found.losses
    assert (gain.ious, gain.masks) == ((0.5, 0.8), (bar(0, 5), bar(0, 8)))
    assert (gain.true, gain.category, gain.image) == (bar(0, 10), 3, IMAGE)
    assert gain.gain == pytest.approx(0.3)
    assert (loss.ious, loss.masks) == ((1, 0), (bar(10, 20), None))


def test_only_the_largest_changes_are_kept_and_little_ones_none() -> None:
    ends = [3, 9, 5, 7, 1]
    pairs = [(image([true(0, 10)]), image([true(0, 10)], (0, end))) for end in ends]
    found = collect(3, *pairs)
    assert [change.ious[1] for change in found.gains] == [0.9, 0.7, 0.5]
    assert found.losses == []
    long = [true(0, 40)]
    assert collect(3, (image(long, (0, 39)), image(long, (0, 40)))).gains == []  # by 0.025
    assert ObjectChanges(3).join().shape == (0, 2)


@pytest.mark.parametrize("by_class", [True, False])
def test_a_curves_mean_is_its_average_precision(by_class: bool) -> None:
    precision = AveragePrecision(by_class=by_class)
    for seed in range(20):
        drawn = draw_image(np.random.default_rng(seed))
        precision.add(drawn, measure_overlaps(drawn))
    found, curve = precision.measure(), precision.trace_precision()
    assert curve.shape == (10, 101)
    assert curve.mean() == pytest.approx(found.ap["all"], abs=1e-12)
    assert curve[0].mean() == pytest.approx(found.ap_50, abs=1e-12)
    assert (np.diff(curve, axis=1) <= 1e-12).all()
    classes = precision.measure_classes()
    assert set(classes) == ({0, 1, 2} if by_class else {0})
    assert np.mean([ap for ap, _ in classes.values()]) == pytest.approx(found.ap["all"])
    assert np.mean([ar for _, ar in classes.values()]) == pytest.approx(found.ar[100])
    nothing = AveragePrecision()
    assert not nothing.trace_precision().any()
    assert nothing.measure_classes() == {}
    assert nothing.list_judged()[0].shape == (0,)


def test_what_is_plotted_is_told_mask_by_mask() -> None:
    evaluation = MaskEvaluation()
    wanted = [true(0, 10), true(10, 20), true(30, 40, is_crowd=True)]
    found = [
        FoundMask(bar(0, 8), 3, 0.9),
        FoundMask(bar(12, 28), 3, 0.7),
        FoundMask(bar(31, 39), 3, 0.6),  # in the crowd: neither right nor wrong
    ]
    evaluation.add(ImageMasks.of(SIZE_HW, wanted, found))
    evaluation.add(image([], (0, 1)))
    spread = evaluation.measure(samples=0).spread
    assert spread.pair_iou.tolist() == [0.8]
    assert 0 < spread.pair_boundary_iou[0] < 0.8
    assert spread.areas_px.tolist() == [100, 100]
    assert spread.best_iou.tolist() == [0.8, pytest.approx(8 / 18)]
    assert spread.scores.tolist() == [0.9, 0.7, 0.5]
    assert spread.right.tolist() == [True, False, False]
    assert spread.classes[3][0] == pytest.approx(spread.precision.mean())
    nothing = MaskEvaluation().measure(samples=0).spread
    assert nothing.precision_by_class is None
    assert nothing.pair_iou.shape == nothing.areas_px.shape == (0,)
