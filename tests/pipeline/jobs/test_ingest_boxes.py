"""Ingests with boxes: an image whose boxes change is done again, and no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.fakes import rows

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.jobs.reembed import reembed
from pipeline.jobs.sync import sync
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.boxes import BoxXyxy
from schemas.errors import DatasetError
from schemas.images import UInt8Image
from schemas.manifest import State
from schemas.masks import CocoRle, ObjectMask
from workers.indexes.open import open_index


class OtherEmbedder(fakes.MeanEmbedder):
    name = "other"

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "other"


Boxes = dict[str, list[list[float]]]


class BoxedSegmenter(fakes.BrightSegmenter):
    """With boxes an object is what lies in one."""

    def segment_with_boxes(
        self, images: Sequence[UInt8Image], boxes: Sequence[Sequence[BoxXyxy]]
    ) -> list[list[ObjectMask]]:
        return [
            [_fill(image, box) for box in of_image]
            for image, of_image in zip(images, boxes, strict=True)
        ]


def _fill(image: UInt8Image, box: BoxXyxy) -> ObjectMask:
    x0, y0, x1, y1 = map(int, box)
    mask = np.zeros(image.shape[:2], bool)
    mask[y0:y1, x0:x1] = True
    found = ObjectMask.measure(CocoRle.from_mask(mask), predicted_iou=0.9, stability_score=0.9)
    assert found is not None
    return found


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Of 24 x 16 pixels, two objects each without boxes."""
    fakes.write_images(tmp_path / "images", 4)
    return tmp_path / "images"


def with_boxes(settings: Settings, boxes: Boxes, size: tuple[int, int] = (24, 16)) -> Settings:
    """The settings with a COCO file of boxes x, y, width, height, by file name."""
    entries = [
        {"id": name, "file_name": name, "width": size[0], "height": size[1]} for name in boxes
    ]
    annotations = [
        {"id": f"{name}{box}", "image_id": name, "bbox": box}
        for name, given in boxes.items()
        for box in given
    ]
    path = Path(settings.index.location).parent / "boxes.json"
    path.write_text(json.dumps({"images": entries, "annotations": annotations}))
    return settings.model_copy(update={"boxes": path})


def recipe(settings: Settings) -> Recipe:
    return replace(fakes.recipe(settings), segmenter=BoxedSegmenter)


def run(images: Path, settings: Settings) -> IngestSummary:
    return ingest([str(images)], settings, recipe=recipe(settings))


def found(settings: Settings) -> dict[str, list[tuple[int, int, int, int]]]:
    """The boxes of all objects in the index, by file name."""
    boxes: dict[str, list[tuple[int, int, int, int]]] = {}
    with open_index(settings.index, None) as index:  # type: ignore[attr-defined]
        for point in index.scroll():
            payload = point.parse_payload()
            if payload.kind == "object":
                boxes.setdefault(Path(payload.key).name, []).append(payload.bbox)
    return {name: sorted(of_image) for name, of_image in boxes.items()}


def test_what_has_boxes_is_segmented_with_them(images: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    boxed = with_boxes(settings, {"001.png": [[1, 2, 5, 6], [4, 0, 90, 3], [9, 9, 2, 2]]})
    assert run(images, boxed).counts.done == 4
    by_name = found(settings)
    assert by_name["001.png"] == [(1, 2, 6, 8), (4, 0, 24, 3), (9, 9, 11, 11)]
    assert len(by_name["000.png"]) == 2
    assert [len(row.boxes) for _, row in sorted(rows(settings).items())] == [0, 16, 0, 0]


def test_an_image_whose_boxes_change_is_done_again_and_no_other(
    images: Path, tmp_path: Path
) -> None:
    settings = fakes.settings(tmp_path / "index")
    first = {"001.png": [[1, 2, 5, 6], [3, 3, 4, 4]], "002.png": [[0, 0, 9, 9]]}

    def done(boxes: Boxes) -> int:
        summary = run(images, with_boxes(settings, boxes) if boxes else settings)
        assert summary.counts.done + summary.counts.unchanged == 4
        return summary.counts.done

    assert done({}) == 4
    assert done(first) == 2
    assert done(first) == 0
    assert done({name: boxes[::-1] for name, boxes in first.items()}) == 0
    assert done({**first, "001.png": [[1, 2, 5, 6]]}) == 1
    assert found(settings)["001.png"] == [(1, 2, 6, 8)]  # of the two of before nothing is left
    assert done({"001.png": [[1, 2, 5, 6]], "003.png": [[0, 0, 2, 2]]}) == 2
    assert len(found(settings)["002.png"]) == 2
    assert done({}) == 2
    assert [row.boxes for row in rows(settings).values()] == [""] * 4


def test_a_sync_goes_by_boxes_too(images: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    boxed = with_boxes(settings, {"001.png": [[1, 2, 5, 6]]})
    run(images, boxed)
    summary = sync([str(images)], boxed, recipe=recipe(boxed))
    assert summary.ingest is not None
    assert (summary.ingest.counts.done, summary.ingest.counts.unchanged) == (0, 4)


def test_a_copy_of_an_image_with_boxes_is_segmented_by_itself(images: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    boxed = with_boxes(settings, {"001.png": [[1, 2, 5, 6]]})
    run(images, boxed)
    (images / "copy.png").write_bytes((images / "001.png").read_bytes())
    (images / "001.png").unlink()
    assert run(images, boxed).counts.done == 1
    assert len(found(settings)["copy.png"]) == 2


def test_boxes_that_do_not_fit_are_told(images: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    with pytest.raises(DatasetError, match="expected a box within 24 x 16 pixels, got x 30 to 35"):
        run(images, with_boxes(settings, {"001.png": [[30, 2, 5, 6]]}))
    summary = run(images, with_boxes(settings, {"001.png": [[1, 2, 5, 6]]}, (40, 40)))
    assert (summary.counts.done, summary.counts.failed) == (3, 1)
    (failure,) = summary.details.failures
    assert failure.message.startswith(
        "expected an image of 24 x 16 pixels in the file of boxes, got one of 40 x 40 (file://"
    )
    (failed,) = [row for row in rows(settings).values() if row.state is State.FAILED]
    assert failed.uri.endswith("001.png")
    other = run(
        images, with_boxes(settings, {"none.png": [[1, 2, 5, 6]], "001.png": [[1, 2, 5, 6]]})
    )
    assert other.details.warnings == [
        "1 of 2 images with boxes were not listed, by their uri or by their file_name below the "
        "source"
    ]


def test_a_segmenter_that_takes_no_boxes_says_so(images: Path, tmp_path: Path) -> None:
    settings = with_boxes(fakes.settings(tmp_path / "index"), {"001.png": [[1, 2, 5, 6]]})
    summary = ingest([str(images)], settings, recipe=fakes.recipe(settings))
    (failure,) = summary.details.failures
    assert failure.message.startswith("expected a segmenter that is asked with boxes, got bright")
    assert summary.counts.done == 3


def test_a_reembedding_keeps_what_images_were_segmented_with(images: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    boxed = with_boxes(settings, {"001.png": [[1, 2, 5, 6]]})
    run(images, boxed)
    before = {row.uri: row.boxes for row in rows(settings).values()}
    other = replace(recipe(boxed), embedder=OtherEmbedder)
    assert reembed(settings, recipe=other).switched
    after = IndexHome.current(settings).manifest.latest()
    assert {row.uri: row.boxes for row in after} == before
    assert sorted(map(len, before.values())) == [0, 0, 0, 16]
    assert ingest([str(images)], boxed, recipe=other).counts.unchanged == 4
