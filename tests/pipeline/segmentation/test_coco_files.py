"""COCO files of masks: instances that are read again, and panoptic by COCO's rules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.object_masks import object_mask

from pipeline.segmentation.coco_files import encode_ids, open_instances, open_panoptic
from pipeline.segmentation.results import SegmentedImage
from schemas.coco_reader import load_truth
from schemas.errors import UsageError
from schemas.images import DecodedImage, ImageRef
from schemas.masks import ObjectMask


def square(left: int, right: int, iou: float, label: str | None = None) -> ObjectMask:
    mask = np.zeros((10, 20), np.bool_)
    mask[2:8, left:right] = True
    score = None if label is None else 0.5
    return replace(
        object_mask(mask), predicted_iou=iou, segmenter_label=label, segmenter_score=score
    )


def result(key: str, *masks: ObjectMask) -> SegmentedImage:
    ref = ImageRef("s3", "photos", key, "v1", 9)
    return SegmentedImage(DecodedImage(ref, np.zeros((10, 20, 3), np.uint8)), masks)


def test_instances_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    with open_instances(path) as file:
        file.write(result("a/x.jpg", square(0, 8, 0.9, "cat"), square(4, 12, 0.8)))
        file.write(result("a/empty.jpg"))
        assert not path.exists()
    truth = load_truth(path, strict=True)
    assert [image.uri for image in truth.images] == [
        "s3://photos/a/x.jpg",
        "s3://photos/a/empty.jpg",
    ]
    assert {each.id: each.name for each in truth.categories} == {1: "cat", 2: "object"}
    first, second = truth.annotations
    assert (first.bbox, first.area, first.category_id, first.score) == ((0, 2, 8, 6), 48, 1, 0.5)
    assert (second.predicted_iou, second.score) == (0.8, 0.8)
    assert second.to_rle((10, 20)).bbox_xyxy == (4, 2, 12, 8)


def test_panoptic_keeps_cocos_rules(tmp_path: Path) -> None:
    with open_panoptic(tmp_path / "out.json", lambda: {"cat", "sky"}) as file:
        file.write(result("a/x.jpg", square(0, 10, 0.5), square(7, 16, 0.9, "cat")))
        file.write(result("b/x.jpg", square(0, 3, 0.9, "cat")))
        file.write(result("b/none.jpg"))
    told = json.loads((tmp_path / "out.json").read_text())
    assert [each["file_name"] for each in told["annotations"]] == ["x.png", "x-2.png", "none.png"]
    for image, annotation in zip(told["images"], told["annotations"], strict=True):
        assert annotation["image_id"] == image["id"]
        pixels = np.asarray(Image.open(tmp_path / "out" / annotation["file_name"])).astype(int)
        assert pixels.shape == (image["height"], image["width"], 3)
        ids = pixels @ [1, 256, 256**2]
        assert set(np.unique(ids)) - {0} == {each["id"] for each in annotation["segments_info"]}
        for segment in annotation["segments_info"]:
            rows, columns = np.nonzero(ids == segment["id"])
            x, y, width, height = segment["bbox"]
            assert segment["area"] == len(rows)
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
            assert segment["category_id"] in {each["id"] for each in told["categories"]}
    # The surer one has the pixels that both have.
    assert [each["area"] for each in told["annotations"][0]["segments_info"]] == [54, 42]
    categories = [(each["name"], each["isthing"]) for each in told["categories"]]
    assert categories == [("cat", 0), ("object", 1)]


def test_ids_are_colours() -> None:
    ids = np.array([[0, 255, 256, 70_000]], np.uint32)
    assert encode_ids(ids).tolist() == [[[0, 0, 0], [255, 0, 0], [0, 1, 0], [112, 17, 1]]]


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_instances(tmp_path / "out.json"):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_panoptic_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with (
        pytest.raises(UsageError, match="expected a folder to write to"),
        open_panoptic(tmp_path / "out.json"),
    ):
        pass
