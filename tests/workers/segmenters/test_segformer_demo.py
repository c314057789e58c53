"""The bundled SegFormer on scenes that no training has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.segmenter_pixels import count_pairs, paint_masks, paint_truth
from pipeline.demo.bucket import write_bucket
from pipeline.demo.groups import GROUPS, find_groups
from pipeline.jobs.ingest import ingest
from pipeline.progress import Progress
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import ModelError, UsageError
from schemas.options import SegmenterOptions
from schemas.search import Condition, SearchQuery
from workers.models import catalog
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


def test_other_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match="expected semantic for segformer_demo, got panoptic"):
        build_segmenter(SegmenterOptions(name="segformer_demo", device="cpu", task="panoptic"))


def test_weights_of_another_model_are_refused() -> None:
    other = catalog.bundled_file(catalog.find("clip_demo").file_name)
    options = SegmenterOptions(name="segformer_demo", device="cpu", checkpoint=str(other))
    with pytest.raises(ModelError, match="another architecture than segformer_demo"):
        build_segmenter(options)


def test_its_objects_are_ingested_and_found_by_their_group(tmp_path: Path) -> None:
    write_bucket(tmp_path, 1, SEED)
    settings = Settings.model_validate(
        {
            "segmenter": {"name": "segformer_demo", "device": "cpu"},
            "runner": {"name": "local"},
            "index": {"location": str(tmp_path / "index")},
        }
    )
    ingest([str(tmp_path / "scenes")], settings, Progress())
    with Searcher.open(settings) as searcher:
        points = [point for point in searcher.index.scroll() if point.payload["kind"] == "object"]
        assert points
        assert {point.payload["segmenter_label"] for point in points} <= set(GROUPS)
        assert all(0 < point.payload["segmenter_score"] <= 1 for point in points)
        label = points[0].payload["segmenter_label"]
        is_of_group = Condition(field="segmenter_label", op="=", value=label)
        page = searcher.search(SearchQuery(text="food", conditions=(is_of_group,)))
        assert page.hits
        assert {hit.payload.segmenter_label for hit in page.hits} == {label}
