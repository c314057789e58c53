"""Datasets of YOLO's: names, classes, and lines that read back as the masks they were."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import yaml
from support.yolo_reader import read_line

from pipeline.formats.exported_object import ExportedImage, ExportedObject
from pipeline.formats.yolo import YoloNames, list_yolo_files, write_data, write_label_line
from schemas.masks import BoolMask, CocoRle


def image(key: str = "photos/a.jpg", number: int = 1, size_hw: tuple[int, int] = (40, 60)):
    return ExportedImage(f"{number:08}-0000", "g", f"s3://b/{key}", key, size_hw)


def found(mask: BoolMask, label: str = "cup", of: ExportedImage | None = None) -> ExportedObject:
    rle = CocoRle.from_mask(mask)
    of = of or image(size_hw=(mask.shape[0], mask.shape[1]))
    return ExportedObject("id", of, label, 0.9, rle, rle.bbox_xyxy)


def ring_mask(size_hw: tuple[int, int] = (40, 60)) -> BoolMask:
    y, x = np.ogrid[: size_hw[0], : size_hw[1]]
    far = np.hypot(y - 20, x - 30)
    return (far < 18) & (far > 9)


def read(line: str, mask: BoolMask) -> BoolMask:
    return read_line(line, {3: "cup"}, (mask.shape[1], mask.shape[0])).mask


def test_a_mask_with_a_hole_reads_back_as_it_was() -> None:
    mask = ring_mask()
    assert (read(write_label_line(found(mask), 3), mask) == mask).all()


def test_of_several_parts_only_bridges_are_added() -> None:
    mask = ring_mask()
    mask[:, 28:31] = False
    back = read(write_label_line(found(mask), 3), mask)
    assert (back | ~mask).all()
    assert (back & ~mask).sum() <= 3


@pytest.mark.parametrize("pixels", [1, 2, 3])
def test_what_is_smaller_than_a_polygon_is_none_the_less(pixels: int) -> None:
    mask = np.zeros((700, 9001), bool)
    mask[699, 9001 - pixels :] = True
    line = write_label_line(found(mask), 3)
    assert len(line.split()) == 7
    assert (read(line, mask) == mask).all()


def test_images_have_names_of_their_own() -> None:
    names = YoloNames()
    keys = ("a/street.jpg", "b/street.jpg", "b/street.png", "Street.jpg", "odd\n#.png", ".jpg", "x")
    images = [image(key, number) for number, key in enumerate(keys)]
    given = [names.name_image(each) for each in images]
    assert given == [
        "street.jpg", "street-00000001.jpg", "street-00000002.png", "Street-00000003.jpg",
        "odd_#.png", ".jpg", "x",
    ]  # fmt: skip
    assert names.name_image(images[1]) == given[1]
    assert names.name_labels(images[1]) == "street-00000001.txt"


def test_classes_are_numbered_and_named_as_yaml() -> None:
    odd = ["cup", "a: b # c", 'say "no"', "näh\n", "yes"]
    data = yaml.safe_load(write_data({name: number for number, name in enumerate(odd)}))
    assert data == {
        "train": "images", "val": "images", "nc": 5, "names": dict(enumerate(odd))
    }  # fmt: skip


def test_the_files_of_a_selection() -> None:
    mask, other = ring_mask(), image("b/a.jpg", 2)
    files = dict(list_yolo_files([found(mask), found(mask, "mug"), found(mask, "cup", other)]))
    assert list(files) == ["labels/a.txt", "labels/a-00000002.txt", "images.csv", "data.yaml"]
    assert [line.split()[0] for line in files["labels/a.txt"].splitlines()] == ["0", "1"]
    assert list(csv.DictReader(files["images.csv"].splitlines())) == [
        {"file": "a.jpg", "uri": "s3://b/photos/a.jpg", "width": "60", "height": "40"},
        {"file": "a-00000002.jpg", "uri": "s3://b/b/a.jpg", "width": "60", "height": "40"},
    ]
    assert yaml.safe_load(files["data.yaml"])["names"] == {0: "cup", 1: "mug"}
