"""Every refiner in one contract, and masks with known errors, each moved as it should be."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from support.drawn_errors import ERRORS, KnowingSam, draw_error, draw_true, paint

from pipeline.evaluation.masks.boundary import measure_boundary_iou, measure_contour_f
from schemas.masks import BoolMask, CocoRle
from schemas.options import RefinerName, RefinerOptions
from schemas.overlaps import mask_iou
from workers.refiners.chain import build_refiners
from workers.segmenter_protocols import Refiner

NAMES: tuple[RefinerName, ...] = get_args(RefinerName)
TRUE = CocoRle.from_mask(draw_true())
IMAGE = paint(draw_true())


def build(name: RefinerName, **options: object) -> Refiner:
    given = RefinerOptions.model_validate({name: options} if options else {})
    return build_refiners([name], given, KnowingSam(TRUE).find)[0]


def refine(name: RefinerName, mask: BoolMask, **options: object) -> CocoRle:
    opened = build(name, **options).open_image(IMAGE)
    return opened.refine([CocoRle.from_mask(mask)])[0]


def measure_iou(rle: CocoRle, true: CocoRle = TRUE) -> float:
    return float(mask_iou([rle], [true])[0, 0])


@pytest.mark.parametrize("name", NAMES)
def test_masks_come_back_in_their_order_whatever_comes_with_them(name: RefinerName) -> None:
    refiner = build(name)
    assert refiner.name == name
    masks = [CocoRle.from_mask(draw_error(error, 3)) for error in ERRORS]
    opened = refiner.open_image(IMAGE)
    refined = opened.refine(masks)
    assert len(refined) == len(masks)
    for rle in refined:
        assert rle.size_hw == IMAGE.shape[:2]
        assert rle == CocoRle.from_mask(rle.decode())  # as COCO writes it
        assert rle.area_px
    assert [opened.refine([rle])[0] for rle in masks] == refined
    assert refiner.open_image(IMAGE).refine(masks[::-1]) == refined[::-1]
    assert opened.refine([]) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_small_images_and_masks_without_a_border_stay(
    name: RefinerName, size_hw: tuple[int, int]
) -> None:
    full = CocoRle.from_mask(np.ones(size_hw, np.bool_))
    refiner = build_refiners([name], RefinerOptions(), KnowingSam(full).find)[0]
    image = np.zeros((*size_hw, 3), np.uint8)
    assert refiner.open_image(image).refine([full]) == [full]


def test_fingerprints_are_of_the_refiner_and_its_options_alone() -> None:
    own = [build(name).fingerprint for name in NAMES]
    assert own == [build(name).fingerprint for name in NAMES]
    others = [build("tidy", smooth_px=1).fingerprint, build("sam", min_iou=0.3).fingerprint]
    assert len({*own, *others}) == len(NAMES) + 2
    options = RefinerOptions.model_validate({"tidy": {"smooth_px": 1}})
    assert build_refiners(["edges"], options, KnowingSam(TRUE).find)[0].fingerprint in own


@pytest.mark.parametrize("error", ERRORS)
def test_edges_move_borders_to_where_the_disk_is(error: str) -> None:
    given = CocoRle.from_mask(draw_error(error, 4))
    refined = refine("edges", given.decode())
    assert measure_iou(given) < 0.95
    assert measure_iou(refined) > 0.98
    for width_px in (1, 4):
        before, after = (measure_boundary_iou(rle, TRUE, width_px) for rle in (given, refined))
        assert after > before + 0.2
    assert measure_contour_f(refined, TRUE, 1) > max(measure_contour_f(given, TRUE, 1), 0.95)


def test_edges_stay_where_they_are_right_or_colours_say_nothing() -> None:
    assert measure_iou(refine("edges", draw_true())) > 0.99
    mask = CocoRle.from_mask(draw_error("jagged", 3))
    grey = np.full_like(IMAGE, 128)
    assert build("edges").open_image(grey).refine([mask]) == [mask]


@pytest.mark.parametrize("error", ["holes", "islands"])
def test_tidy_takes_holes_and_islands_alone_away(error: str) -> None:
    mask = draw_error(error, 1)
    assert (mask != draw_true()).any()
    assert refine("tidy", mask) == TRUE
    assert refine("tidy", mask, max_hole_frac=0, max_island_frac=0) == CocoRle.from_mask(mask)


@pytest.mark.parametrize("error", ["eroded", "dilated", "shifted", "jagged"])
def test_tidy_leaves_contours_alone_unless_they_are_to_be_smooth(error: str) -> None:
    given = CocoRle.from_mask(draw_error(error, 2))
    assert refine("tidy", given.decode()) == given
    smooth = refine("tidy", given.decode(), smooth_px=8)
    if error == "jagged":
        assert measure_boundary_iou(smooth, TRUE, 4) > measure_boundary_iou(given, TRUE, 4) + 0.1
    else:
        assert measure_iou(smooth, given) > 0.98


@pytest.mark.parametrize("error", ERRORS)
def test_sam_answers_for_any_error(error: str) -> None:
    assert refine("sam", draw_error(error, 3), min_iou=0.5) == TRUE
