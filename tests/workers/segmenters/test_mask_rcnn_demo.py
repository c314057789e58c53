"""The bundled Mask R-CNN on scenes that no training has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.bucket import write_bucket
from pipeline.demo.groups import GROUPS
from pipeline.evaluation.matching import must_be_found
from schemas.options import SegmenterOptions
from schemas.overlaps import best_iou
from workers.registry import build_segmenter
from workers.segmenters.labelled_segmenter import LabelledSegmenter

SEED, SCENES = 77, 2


@pytest.fixture(scope="module")
def segmenter() -> LabelledSegmenter:
    built = build_segmenter(SegmenterOptions(name="maskrcnn_demo", device="cpu"))
    assert isinstance(built, LabelledSegmenter)
    return built


def test_it_finds_most_objects_and_calls_them_groups(
    segmenter: LabelledSegmenter, tmp_path: Path
) -> None:
    truth = write_bucket(tmp_path, SCENES, SEED)
    ious: list[float] = []
    for image in truth.images:
        pixels = np.asarray(Image.open(tmp_path / image.file_name))
        (masks,) = segmenter.segment([pixels])
        assert {mask.segmenter_label for mask in masks} <= set(GROUPS)
        assert all(0 < (mask.segmenter_score or 0) <= 1 for mask in masks)
        wanted = [
            annotation.to_rle(image.size_hw)
            for annotation in truth.annotations
            if annotation.image_id == image.id and must_be_found(annotation, image)
        ]
        ious += best_iou([mask.rle for mask in masks], wanted).tolist()
    assert np.mean(np.array(ious) >= 0.5) >= 0.5


def test_its_fingerprint_covers_the_threshold(segmenter: LabelledSegmenter) -> None:
    surer = SegmenterOptions(name="maskrcnn_demo", device="cpu", score_thresh=0.9)
    assert build_segmenter(surer).fingerprint != segmenter.fingerprint
