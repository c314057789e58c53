"""The bundled Mask R-CNN on scenes that no training has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.bucket import write_bucket
from pipeline.demo.groups import GROUPS
from pipeline.evaluation.matching import must_be_found
from pipeline.jobs.ingest import ingest
from pipeline.progress import Progress
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import ModelError, UsageError
from schemas.options import SegmenterOptions
from schemas.overlaps import best_iou
from workers.models import catalog
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


def test_other_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match="expected instance for maskrcnn_demo, got panoptic"):
        build_segmenter(SegmenterOptions(name="maskrcnn_demo", device="cpu", task="panoptic"))


def test_weights_of_another_model_are_refused() -> None:
    other = catalog.bundled_file(catalog.find("sam_demo").file_name)
    options = SegmenterOptions(name="maskrcnn_demo", device="cpu", checkpoint=str(other))
    with pytest.raises(ModelError, match="another architecture than maskrcnn_demo"):
        build_segmenter(options)


@pytest.mark.long
def test_its_objects_are_ingested_and_found_by_their_group(tmp_path: Path) -> None:
    write_bucket(tmp_path, 1, SEED)
    settings = Settings.model_validate(
        {
            "segmenter": {"name": "maskrcnn_demo", "device": "cpu"},
            "runner": {"name": "local"},
            "index": {"location": str(tmp_path / "index")},
        }
    )
    ingest([str(tmp_path / "scenes")], settings, Progress())
    with Searcher.open(settings) as searcher:
        points = [point for point in searcher.index.scroll() if point.payload["kind"] == "object"]
        assert len(points) >= 5
        assert {point.payload["segmenter_label"] for point in points} <= set(GROUPS)
