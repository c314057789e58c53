"""Tasks of Label Studio: brushes that decode to the masks, images, and its interface."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.brush_reader import decode_brush

from pipeline.formats.exported_object import ExportedImage, ExportedObject
from pipeline.formats.label_studio import encode_brush, write_config, write_region, write_task
from schemas.masks import BoolMask, CocoRle

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 70)))


@given(MASKS)
def test_a_brush_decodes_to_the_mask(mask: BoolMask) -> None:
    data = encode_brush(CocoRle.from_mask(mask))
    assert (decode_brush(data.tolist(), mask.shape) == mask).all()


@pytest.mark.parametrize("inside", [slice(0, 0), slice(0, 130), slice(129, 130), slice(3, 127)])
def test_runs_longer_than_a_length_can_be_are_split(inside: slice) -> None:
    mask = np.zeros((130, 300), bool)
    mask[inside] = True
    data = encode_brush(CocoRle.from_mask(mask))
    assert len(data) < 100
    assert (decode_brush(data.tolist(), mask.shape) == mask).all()


def found(uri: str, label: str, score: float | None) -> ExportedObject:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    image = ExportedImage("i", "g", uri, "key", (4, 6))
    return ExportedObject("id", image, label, score, CocoRle.from_mask(mask), (2, 1, 5, 3))


def test_a_task_has_an_image_and_its_objects() -> None:
    objects = [found("s3://b/a.jpg", "cup", 0.75), found("s3://b/a.jpg", "mug", None)]
    task = json.loads(
        json.dumps(write_task("s3://b/a.jpg", [write_region(each) for each in objects]))
    )
    assert task["data"] == {"image": "s3://b/a.jpg", "uri": "s3://b/a.jpg"}
    (prediction,) = task["predictions"]
    first, second = prediction["result"]
    rle = first["value"].pop("rle")
    assert decode_brush(rle, (4, 6))[1:3, 2:5].all()
    assert first == {
        "id": "id", "type": "brushlabels", "from_name": "label", "to_name": "image",
        "original_width": 6, "original_height": 4, "image_rotation": 0, "score": 0.75,
        "value": {"format": "rle", "brushlabels": ["cup"]},
    }  # fmt: skip
    assert "score" not in second


def test_files_are_named_as_a_local_storage_serves_them() -> None:
    uri = "file:///data/odd%20name%23.jpg"
    served = {
        None: "data/odd%20name%23.jpg", "/data": "odd%20name%23.jpg",
        "/dat": "data/odd%20name%23.jpg", "s3://b": "data/odd%20name%23.jpg",
    }  # fmt: skip
    for folder, path in served.items():
        task = write_task(uri, [], folder)
        assert task["data"] == {"image": f"/data/local-files/?d={path}", "uri": uri}


def test_the_interface_names_what_regions_name() -> None:
    view = ElementTree.fromstring(write_config(['a "cup" & <saucer>', "mug"]))
    region = write_region(found("s3://b/a", "mug", None))
    brush, image = view.find("BrushLabels"), view.find("Image")
    assert brush is not None
    assert image is not None
    assert (brush.get("name"), brush.get("toName")) == (region["from_name"], region["to_name"])
    assert image.get("name") == region["to_name"]
    assert image.get("value") == "$image"
    assert [label.get("value") for label in brush] == ['a "cup" & <saucer>', "mug"]
