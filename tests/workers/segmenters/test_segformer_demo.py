"""The bundled SegFormer on scenes that no training has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.segmenter_pixels import count_pairs, paint_masks, paint_truth
from pipeline.demo.bucket import write_bucket
from pipeline.demo.groups import GROUPS, find_groups
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter
from workers.segmenters.labelled_segmenter import LabelledSegmenter

SEED, SCENES = 77, 4


@pytest.fixture(scope="module")
def segmenter() -> LabelledSegmenter:
    built = build_segmenter(SegmenterOptions(name="segformer_demo", device="cpu"))
    assert isinstance(built, LabelledSegmenter)
    return built


def test_more_pixels_are_right_than_are_background(
    segmenter: LabelledSegmenter, tmp_path: Path
) -> None:
    truth = write_bucket(tmp_path, SCENES, SEED)
    numbers = find_groups([category.name for category in truth.categories])
    group_of = {
        int(category.id): number for category, number in zip(truth.categories, numbers, strict=True)
    }
    pairs = np.zeros((1 + len(GROUPS), 1 + len(GROUPS)), np.int64)
    for image in truth.images:
        (masks,) = segmenter.segment([np.asarray(Image.open(tmp_path / image.file_name))])
        assert {mask.segmenter_label for mask in masks} <= set(GROUPS)
        assert all(0 < (mask.segmenter_score or 0) <= 1 for mask in masks)
        shown = [item for item in truth.annotations if item.image_id == image.id]
        true = paint_truth(shown, image.size_hw, group_of)
        pairs += count_pairs(true, paint_masks(masks, image.size_hw))
    assert np.trace(pairs) / pairs.sum() > pairs[0].sum() / pairs.sum() + 0.03


def test_no_pixel_is_of_two_objects(segmenter: LabelledSegmenter, tmp_path: Path) -> None:
    truth = write_bucket(tmp_path, 1, SEED)
    (masks,) = segmenter.segment([np.asarray(Image.open(tmp_path / truth.images[0].file_name))])
    assert len(masks) >= 2
    assert np.sum([mask.rle.decode() for mask in masks], axis=0).max() == 1
