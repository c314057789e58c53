"""What holds for every bundled segmenter that names groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.demo.bucket import write_bucket
from pipeline.demo.groups import GROUPS
from pipeline.jobs.ingest import ingest
from pipeline.progress import Progress
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import ModelError, UsageError
from schemas.options import SegmenterOptions
from schemas.search import Condition, SearchQuery
from workers.models import catalog
from workers.registry import build_segmenter

TASKS = {"maskrcnn_demo": "instance", "segformer_demo": "semantic"}


@pytest.mark.parametrize("name", TASKS)
def test_other_tasks_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"expected {TASKS[name]} for {name}, got panoptic"):
        build_segmenter(SegmenterOptions(name=name, device="cpu", task="panoptic"))


@pytest.mark.parametrize("name", TASKS)
def test_weights_of_another_model_are_refused(name: str) -> None:
    other = catalog.bundled_file(catalog.find("clip_demo").file_name)
    options = SegmenterOptions(name=name, device="cpu", checkpoint=str(other))
    with pytest.raises(ModelError, match=f"another architecture than {name}"):
        build_segmenter(options)


@pytest.mark.parametrize(
    "name", [pytest.param("maskrcnn_demo", marks=pytest.mark.long), "segformer_demo"]
)
def test_objects_are_ingested_and_found_by_their_group(name: str, tmp_path: Path) -> None:
    write_bucket(tmp_path, 1, seed=77)
    settings = Settings.model_validate(
        {
            "segmenter": {"name": name, "device": "cpu"},
            "runner": {"name": "local"},
            "index": {"location": str(tmp_path / "index")},
        }
    )
    ingest([str(tmp_path / "scenes")], settings, Progress())
    with Searcher.open(settings) as searcher:
        points = [point for point in searcher.index.scroll() if point.payload["kind"] == "object"]
        assert len(points) >= 5
        assert {point.payload["segmenter_label"] for point in points} <= set(GROUPS)
        assert all(0 < point.payload["segmenter_score"] <= 1 for point in points)
        label = points[0].payload["segmenter_label"]
        is_of_group = Condition(field="segmenter_label", op="=", value=label)
        page = searcher.search(SearchQuery(text="food", conditions=(is_of_group,)))
        assert page.hits
        assert {hit.payload.segmenter_label for hit in page.hits} == {label}
