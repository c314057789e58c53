"""Files of boxes, COCO and Parquet: which images they are of, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ingestion.box_file import read_boxes
from schemas.errors import DatasetError, UsageError
from schemas.ids import image_id
from schemas.images import ImageRef


def file_id(path: Path) -> object:
    return image_id(ImageRef("file", "", str(path), "", 0))


def write_coco(path: Path, *boxes: Any, **image: Any) -> Path:
    images = [
        {"id": 1, "file_name": "a.jpg", "width": 20, "height": 10, **image},
        {"id": 2, "file_name": "sub/b.jpg", "width": 20, "height": 10},
    ]
    annotations = [
        {"id": number, "image_id": 1, "bbox": box} for number, box in enumerate(boxes, start=5)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_coco_boxes_are_found_below_the_source_or_by_their_uri(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "boxes.json", [1, 2, 3, 4], [15.5, 0, 9, 9])
    boxes = read_boxes(path, [str(tmp_path), str(tmp_path / "*.png"), "s3://photos/2026"])
    assert set(boxes) == {
        file_id(tmp_path / "a.jpg"), image_id(ImageRef("s3", "photos", "2026/a.jpg", "", 0))
    }  # fmt: skip
    given = boxes[file_id(tmp_path / "a.jpg")]  # type: ignore[index]
    assert given.boxes_xyxy == ((1, 2, 4, 6), (15.5, 0, 24.5, 9))
    assert given.size_hw == (10, 20)
    path = write_coco(tmp_path / "uri.json", [1, 2, 3, 4], uri="s3://photos/x.jpg")
    assert set(read_boxes(path, [])) == {image_id(ImageRef("s3", "photos", "x.jpg", "", 0))}
    with pytest.raises(
        UsageError, match=r"expected a folder .* that 'a.jpg' lies in, as .*boxes.json"
    ):
        read_boxes(tmp_path / "boxes.json", [str(tmp_path / "*.jpg")])


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        (
            [20, 0, 5, 5],
            r"annotation 2 \(id 6\): expected a box within 20 x 10 pixels, got x 20 to",
        ),
        ([0, 0, 0, 5], r"annotation 2 \(id 6\): expected a box with a width and a height"),
        ([0, 0, float("nan"), 5], r"annotation 2 \(id 6\): expected bbox to be a finite number"),
        ([0, 0, 5], r"annotation 2 \(id 6\): expected bbox"),
        ("none", r"annotation 2 \(id 6\): expected bbox"),
    ],
)
def test_a_wrong_coco_box_is_named(tmp_path: Path, box: Any, sentence: str) -> None:
    path = write_coco(tmp_path / "boxes.json", [1, 2, 3, 4], box)
    with pytest.raises(DatasetError, match=sentence):
        read_boxes(path, [str(tmp_path)])


def test_parquet_has_a_row_a_box(tmp_path: Path) -> None:
    uri = "s3://photos/a.jpg"
    path = write_parquet(
        tmp_path / "boxes.parquet", uri=[uri, None, uri], file_name=["x", "b.jpg", None],
        bbox=[[1, 2, 3, 4], [0, 0, 5, 5], [2.5, 2, 3, 4]],
    )  # fmt: skip
    boxes = read_boxes(path, [str(tmp_path)])
    by_uri = boxes[image_id(ImageRef("s3", "photos", "a.jpg", "", 0))]
    assert (by_uri.boxes_xyxy, by_uri.size_hw) == (((1, 2, 3, 4), (2.5, 2, 3, 4)), None)
    assert boxes[file_id(tmp_path / "b.jpg")].boxes_xyxy == ((0, 0, 5, 5),)  # type: ignore[index]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"uri": ["s3://a/b"]}, "expected the columns uri or file_name, and bbox, in .*, got uri"),
        ({"bbox": [[0, 0, 1, 1]]}, "expected the columns uri or file_name, and bbox"),
        ({"uri": ["s3://a/b"] * 2, "bbox": [[0, 0, 1, 1], [3, 0, 1, 1]]},
         "row 2: expected a box with a width and a height, got x 3 to 1, y 0 to 1"),
        ({"uri": ["s3://a/b"], "bbox": [[0, 0, float("nan"), 1]]}, "row 1: .* finite numbers"),
        ({"uri": ["s3://a/b"], "bbox": [[0, 0, 1]]}, "row 1: expected bbox to be four numbers"),
        ({"uri": [None], "bbox": [[0, 0, 1, 1]]}, "row 1: expected a uri or a file_name, got none"),
        ({"uri": ["a.jpg"], "bbox": [[0, 0, 1, 1]]}, "image 'a.jpg': expected s3://bucket/key"),
        ({"uri": [], "bbox": []}, "there are no boxes in"),
    ],
)  # fmt: skip
def test_a_wrong_parquet_file_is_refused(
    tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    path = write_parquet(tmp_path / "boxes.parquet", **columns)
    with pytest.raises(UsageError, match=sentence):
        read_boxes(path, [str(tmp_path)])


def test_what_is_no_file_of_boxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected a COCO file at .*none.json"):
        read_boxes(tmp_path / "none.json", [])
    (tmp_path / "no.parquet").write_bytes(b"no parquet")
    for name in ("no.parquet", "none.parquet"):
        with pytest.raises(DatasetError, match=f"expected a Parquet file of boxes, .*{name}"):
            read_boxes(tmp_path / name, [])
    with pytest.raises(DatasetError, match=r"there are no boxes in .*boxes.json"):
        read_boxes(write_coco(tmp_path / "boxes.json"), [str(tmp_path)])
