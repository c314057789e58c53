"""IoU and IoS against counted pixels; no broken RLE ever reaches pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from schemas.masks import BoolMask, CocoRle
from schemas.overlaps import best_iou, mask_ios, mask_iou, unite_rles

HW = (9, 7)
masks = st.one_of(
    arrays.arrays(np.bool_, HW), st.sampled_from([np.zeros(HW, bool), np.ones(HW, bool)])
)
several = st.lists(masks, max_size=4)
WHOLE = CocoRle.from_mask(np.ones(HW, bool))


@given(several, several)
def test_overlaps_are_those_of_the_pixels(first: list[BoolMask], second: list[BoolMask]) -> None:
    rles, others = ([CocoRle.from_mask(mask) for mask in side] for side in (first, second))
    iou, ios = mask_iou(rles, others), mask_ios(rles, others)
    assert iou.shape == ios.shape == (len(first), len(second))
    for row, mask in enumerate(first):
        for column, other in enumerate(second):
            common = (mask & other).sum()
            assert iou[row, column] == common / max((mask | other).sum(), 1)
            assert ios[row, column] == common / max(min(mask.sum(), other.sum()), 1)
    best = [max(column, default=0.0) for column in iou.T.tolist()]
    assert best_iou(rles, others).tolist() == best


@given(several, several)
def test_ios_is_what_coco_says_of_crowds_either_way(
    first: list[BoolMask], second: list[BoolMask]
) -> None:
    assume(first and second)
    rles, others = ([CocoRle.from_mask(mask) for mask in side] for side in (first, second))
    theirs, ours = (
        [{"size": list(HW), "counts": rle.counts} for rle in side] for side in (others, rles)
    )
    one_way = coco.iou(ours, theirs, [1] * len(theirs))
    other_way = coco.iou(theirs, ours, [1] * len(ours)).T
    np.testing.assert_array_equal(mask_ios(rles, others), np.maximum(one_way, other_way))


@given(several)
def test_united_masks_cover_what_any_does(several: list[BoolMask]) -> None:
    united = unite_rles([CocoRle.from_mask(mask) for mask in several], HW)
    assert united.dtype == np.bool_
    np.testing.assert_array_equal(united, np.any([np.zeros(HW, bool), *several], axis=0))


def test_masks_of_different_sizes_do_not_overlap() -> None:
    other = CocoRle.from_mask(np.ones((7, 9), bool))
    assert mask_iou([WHOLE], [other]) == mask_ios([WHOLE], [other]) == 0


BROKEN = {
    "empty": "",
    "cut off within a number": WHOLE.counts[:-1] + "P",
    "one run too few": CocoRle.from_mask(np.eye(9, 7, dtype=bool)).counts[:-1],
    "one pixel too many": "0P2",
    "one pixel too few": "0n1",
    "negative": "N2o1",
    "a foreign character": "0 o1",
    "a number of too many characters": "PPPPPPP0o1",
    "a negative number that pycocotools reads as another": "0oPPPPPo",
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("measure", [mask_iou, mask_ios])
def test_a_broken_rle_is_refused_on_either_side(how: str, measure) -> None:
    broken = CocoRle(HW, BROKEN[how])
    with pytest.raises(ValueError, match="RLE"):
        measure([broken], [WHOLE])
    with pytest.raises(ValueError, match="RLE"):
        measure([WHOLE], [WHOLE, broken])
    with pytest.raises(ValueError, match="RLE"):
        measure([broken], [])
    with pytest.raises(ValueError, match="RLE"):
        unite_rles([WHOLE, broken], HW)


@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=14))
def test_any_string_is_compared_or_refused(text: str) -> None:
    rle = CocoRle(HW, text)
    try:
        mask = rle.decode()
    except ValueError:
        with pytest.raises(ValueError, match="RLE"):
            mask_iou([rle], [WHOLE])
    else:
        assert mask_iou([rle], [WHOLE]) == mask.sum() / mask.size


@given(st.lists(st.integers(-3, 40), max_size=9), st.data())
def test_runs_that_do_not_cover_the_mask_are_not_encoded(
    runs: list[int], data: st.DataObject
) -> None:
    total = HW[0] * HW[1]
    if data.draw(st.booleans()) and total - sum(runs) >= 0:
        runs = [*runs, total - sum(runs)]
    if runs and min(runs) >= 0 and sum(runs) == total:
        assert CocoRle.from_runs(HW, runs).runs().tolist() == runs
    else:
        with pytest.raises(ValueError, match="RLE"):
            CocoRle.from_runs(HW, runs)


@pytest.mark.parametrize("runs", [["1", "62"], [1.0, 62.0], [[1, 62]], [2**70], [True, False]])
def test_only_integers_are_runs(runs) -> None:
    with pytest.raises(ValueError, match="RLE"):
        CocoRle.from_runs(HW, runs)


@pytest.mark.parametrize("size", [(-9, -7), (2**16, 2**16)])
def test_sizes_that_no_rle_can_have_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="an RLE cannot be of"):
        CocoRle(size, WHOLE.counts).runs()
