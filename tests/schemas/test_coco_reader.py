"""Odd COCO files: each annotation that is wrong is told by its id, and the rest comes through."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.coco import CocoMasks, join_images
from schemas.coco_reader import load_masks, load_truth
from schemas.errors import DatasetError
from schemas.masks import CocoRle

pytestmark = pytest.mark.trials
Json = dict[str, Any]
HEIGHT, WIDTH = 30, 40
SQUARE = [[5, 5, 15, 5, 15, 15, 5, 15]]
DOCUMENT: Json = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT},
        {"id": 2, "file_name": "b.jpg", "width": WIDTH, "height": HEIGHT},
    ],
    "annotations": [
        {
            "id": 11, "image_id": 1, "category_id": 7, "bbox": [5, 5, 10, 10], "area": 100,
            "iscrowd": 0, "segmentation": SQUARE,
        },
        {
            "id": 12, "image_id": 2, "category_id": 7, "bbox": [5, 5, 10, 10], "area": 100,
            "iscrowd": 0, "segmentation": SQUARE,
        },
    ],
    "categories": [{"id": 7, "name": "square"}],
}  # fmt: skip


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def changed(**fields: Any) -> Json:
    """The document with other fields in its second annotation."""
    document = copy.deepcopy(DOCUMENT)
    document["annotations"][1].update(fields)
    return document


def without(name: str) -> Json:
    document = copy.deepcopy(DOCUMENT)
    del document["annotations"][1][name]
    return document


def rle(counts: Any, size: Any = (HEIGHT, WIDTH)) -> Json:
    return changed(segmentation={"size": size, "counts": counts})


def shape(segmentation: Any) -> Json:
    return changed(segmentation=segmentation)


def appended(entry: Any) -> Json:
    document = copy.deepcopy(DOCUMENT)
    document["annotations"][1] = entry
    return document


WHOLE = CocoRle.from_mask(np.ones((HEIGHT, WIDTH), bool)).counts
HALF = CocoRle.from_runs((HEIGHT, WIDTH), [600, 600]).counts
PIXELS = HEIGHT * WIDTH
NOT_COVERED = f"the RLE does not cover {HEIGHT} x {WIDTH} pixels"

BAD_ANNOTATIONS: dict[str, tuple[Json, str]] = {
    # Run lengths
    "a string that is cut": (rle(HALF[:-1]), "the RLE"),
    "an empty string": (rle(""), NOT_COVERED),
    "a string of another mask": (rle(HALF + HALF), NOT_COVERED),
    "a string that ends in a number": (rle("PPP"), "ends within a number"),
    "a number without end": (rle("P" * 40 + "0"), "a number of 41 characters"),
    "spaces in a string": (rle(f" {WHOLE}"), "' ' cannot stand in an RLE string"),
    "letters beyond ASCII": (rle("é"), "ascii"),
    "a lone surrogate": (rle("\ud800"), "ascii"),
    "runs that are too few": (rle([PIXELS - 1]), NOT_COVERED),
    "runs that are too many": (rle([600, 601]), NOT_COVERED),
    "a negative run": (rle([PIXELS + 5, -5]), NOT_COVERED),
    "no runs": (rle([]), "expected the lengths of an RLE's runs, got []"),
    "runs of 32 bits": (rle([2**32 + 600, 600]), NOT_COVERED),
    "runs whose sum overflows": (rle([2**62] * 4 + [PIXELS]), NOT_COVERED),
    "a run of a hundred digits": (rle([10**100]), "expected the lengths"),
    "runs that are fractions": (rle([600.5, 599.5]), "expected the lengths"),
    "runs that are no numbers": (rle([math.nan, PIXELS]), "expected the lengths"),
    "runs that are texts": (rle(["600", "600"]), "expected the lengths"),
    "runs in lists of unequal lengths": (rle([[600], [1, 2]]), "expected the lengths"),
    "counts that are a number": (rle(PIXELS), "expected an RLE or polygons"),
    "counts of nothing": (rle(None), "expected an RLE or polygons"),
    "no counts": (shape({"size": [HEIGHT, WIDTH]}), "expected an RLE or polygons"),
    "no size": (shape({"counts": HALF}), "expected an RLE or polygons"),
    # Sizes
    "sides the other way round": (rle(HALF, [WIDTH, HEIGHT]), "expected a mask of [30, 40]"),
    "a negative size": (rle(HALF, [-HEIGHT, -WIDTH]), "got one of [-30, -40]"),
    "a size of three numbers": (rle(HALF, [HEIGHT, WIDTH, 1]), "got one of [30, 40, 1]"),
    "a size of none": (rle(HALF, None), "got one of None"),
    "a size as a text": (rle(HALF, "30x40"), "got one of '30x40'"),
    "an enormous size": (rle(HALF, [10**30, 10**30]), "expected a mask of [30, 40]"),
    # Polygons
    "no number": (shape([[math.nan, 5, 15, 5, 15, 15]]), "finite numbers, got the coordinate nan"),
    "infinity": (shape([[5, 5, math.inf, 5, 15, 15]]), "finite numbers, got the coordinate inf"),
    "less than infinity": (shape([[5, 5, -math.inf, 5, 9, 9]]), "got the coordinate -inf"),
    "two hundred million": (
        shape([[-16.1, -22.8, 208543216.0, 352186880.0, 225.9, 236.5]]),
        "expected polygons within 40 x 30 pixels, got the coordinate 2.08543e+08"),
    "the largest number there is": (shape([[5, 5, 1.7e308, 5, 15, 15]]), "coordinate 1.7e+308"),
    "an integer beyond any float": (shape([[5, 5, 10**400, 5.5, 15, 15]]), "polygons of numbers"),
    "an integer of 64 bits": (shape([[5, 5, 2**63, 5, 15, 15]]), "the coordinate 9.2"),
    "just too far out": (shape([[5, 5, 81, 5, 15, 15]]), "got the coordinate 81"),
    "a nested polygon": (shape([[[5, 5], [15, 5], [15, 15]]]), "expected polygons of numbers"),
    "a polygon of pairs and numbers": (shape([[5, 5, [15, 5]]]), "expected polygons of numbers"),
    "a flat polygon": (shape([5, 5, 15, 5, 15, 15]), "expected an RLE or polygons"),
    "texts": (shape([["5", "5", "15", "5", "15", "15"]]), "expected polygons of numbers"),
    "nothing among numbers": (shape([[5, None, 15, 5, 15, 15]]), "expected polygons of numbers"),
    "an odd number of numbers": (shape([[5, 5, 15, 5, 15, 15, 5]]), "got 7 numbers"),
    "a box instead of a polygon": (shape([[5, 5, 10, 10]]), "got 4 numbers"),
    "two points": (shape([[5, 5]]), "got 2 numbers"),
    "an empty polygon": (shape([[]]), "got 0 numbers"),
    "a good polygon and an empty one": (shape([*SQUARE, []]), "got 0 numbers"),
    "a good polygon and a text": (shape([*SQUARE, "x"]), "expected polygons of numbers"),
    "no polygons": (shape([]), "expected an RLE or polygons, got []"),
    "a path of a great many turns": (
        shape([[x // 2 % 2 * HEIGHT for x in range(400_000)]]), "expected an outline of at most"),
    "points on one spot": (shape([[9.65, 8.33] * 4]), "one without a pixel"),
    "less than a pixel": (shape([[20.2, 20.2, 20.3, 20.2, 20.25, 20.3]]), "one without a pixel"),
    "outside the image": (shape([[50, 35, 60, 35, 60, 45, 50, 45]]), "one without a pixel"),
    "runs of nothing": (rle([PIXELS]), "one without a pixel"),
    # Other values
    "a segmentation of none": (shape(None), "expected an RLE or polygons, got None"),
    "a segmentation that is a text": (shape("x" * 1000), f"got {'x' * 80}"),
    "a segmentation that is a number": (shape(1), "expected an RLE or polygons, got 1"),
    "an annotation that is a text": (appended("x"), "expected an object, got 'x'"),
    "an annotation of none": (appended(None), "expected an object, got None"),
    "an annotation that is a list": (appended([]), "expected an object, got []"),
    "an empty annotation": (appended({}), "expected id, there is none"),
    "no segmentation": (without("segmentation"), "expected segmentation, there is none"),
    "no image": (without("image_id"), "expected image_id, there is none"),
    "another image's id": (changed(image_id=9), "expected the id of an image, got 9"),
    "an image's id as a text": (changed(image_id="2"), "expected the id of an image, got '2'"),
    "an image's id of none": (changed(image_id=None), "expected image_id to be"),
    "the id of another": (changed(id=11), "expected every id once, 11 is there twice"),
    "an id of none": (changed(id=None), "expected id to be"),
    "an id that is an object": (changed(id={"a": 1}), "expected id to be"),
    "an id that is half a number": (changed(id=1.5), "expected id to be"),
    "a score that is no number": (changed(predicted_iou=math.nan), "predicted_iou"),
    "a score far too high": (changed(stability_score=99), "expected stability_score to be less"),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD_ANNOTATIONS)
@pytest.mark.parametrize("load", [load_masks, load_truth])
def test_a_bad_annotation_is_told_and_the_others_come(
    how: str, load: Callable[..., CocoMasks], tmp_path: Path
) -> None:
    document, sentence = BAD_ANNOTATIONS[how]
    path = write(tmp_path / "instances.json", document)
    loaded = load(path)
    assert [annotation.id for annotation in loaded.annotations] == [11]
    (bad,) = loaded.left_out
    entry = document["annotations"][1]
    identity = entry.get("id") if isinstance(entry, dict) else None
    assert (bad.number, bad.id) == (2, identity if isinstance(identity, int) else None)
    assert sentence in str(bad)
    assert len(str(bad)) < 250
    with pytest.raises(DatasetError, match=r"instances.json, annotation 2\b.*: ") as caught:
        load(path, strict=True)
    assert sentence in str(caught.value)
    # What is wrong with the only annotation is wrong with the file.
    document = {**document, "annotations": document["annotations"][1:]}
    if how != "the id of another":
        with pytest.raises(DatasetError, match=r"instances.json, annotation 1\b"):
            load(write(path, document))


BAD_TRUTHS: dict[str, tuple[Json, str]] = {
    "no category": (without("category_id"), "expected category_id, there is none"),
    "another category's id": (changed(category_id=9), "expected the id of a category, got 9"),
    "a box of none": (changed(bbox=None), "expected bbox to be"),
    "a box of three numbers": (changed(bbox=[1, 2, 3]), "expected bbox, there is none"),
    "a box that is no number": (changed(bbox=[math.nan, 5, 10, 10]), "expected bbox to be"),
    "an endless box": (changed(bbox=[5, 5, math.inf, 10]), "expected bbox to be"),
    "an area that is no number": (changed(area=math.nan), "expected area to be"),
    "a crowd that is a text": (changed(iscrowd="many"), "expected iscrowd to be"),
}


@pytest.mark.parametrize("how", BAD_TRUTHS)
def test_what_only_a_truth_needs_is_looked_at_there(how: str, tmp_path: Path) -> None:
    document, sentence = BAD_TRUTHS[how]
    path = write(tmp_path / "truth.json", document)
    assert len(load_masks(path, strict=True).annotations) == 2
    truth = load_truth(path)
    assert [annotation.id for annotation in truth.annotations] == [11]
    assert sentence in str(truth.left_out[0])


GOOD: dict[str, Json] = {
    "a file of integers and fractions": shape([[5.5, 5, 15, 5, 15, 15.25, 5, 15]]),
    "a little outside": shape([[-3, -3, 45, -3, 45, 33, -3, 33]]),
    "several polygons": shape([*SQUARE, [20, 20, 30, 20, 30, 28]]),
    "a string": rle(HALF),
    "a list": rle([600, 600]),
    "a list that begins with the mask": rle([0, PIXELS]),
    "runs of no length": rle([600, 0, 0, 600]),
    "sides as fractions": rle(HALF, [30.0, 40.0]),
    "a crowd of none": changed(iscrowd=None),
    "a crowd": changed(iscrowd=1, segmentation={"size": [HEIGHT, WIDTH], "counts": [600, 600]}),
    "no area": without("area"),
    "no iscrowd": without("iscrowd"),
    "no box": without("bbox"),
    "an id that is a text": changed(id="x"),
    "an id below zero": changed(id=-1),
    "an id of 60 bits": changed(id=2**60),
    "fields of others": changed(keypoints=[], attributes={"occluded": True}, extra=None),
}


@pytest.mark.parametrize("how", GOOD)
def test_what_is_unusual_but_right_comes_in(how: str, tmp_path: Path) -> None:
    path = write(tmp_path / "instances.json", GOOD[how])
    for loaded in (load_masks(path, strict=True), load_truth(path, strict=True)):
        assert (len(loaded.annotations), loaded.left_out) == (2, ())
        for annotation in loaded.annotations:
            assert annotation.to_rle((HEIGHT, WIDTH)).area_px > 0


def test_a_box_follows_from_the_mask_where_there_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "truth.json", without("bbox"))
    assert load_truth(path).annotations[1].bbox == (5, 5, 10, 10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_any_unicode_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(json.dumps(DOCUMENT).encode(encoding))
    assert len(load_masks(path).annotations) == 2


def image(**fields: Any) -> str:
    document = copy.deepcopy(DOCUMENT)
    document["images"][1].update(fields)
    return json.dumps(document)


def top(**fields: Any) -> str:
    return json.dumps({**DOCUMENT, **fields})


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "is no JSON: Expecting value at line 1, column 1"),
    "a file that is cut": (json.dumps(DOCUMENT)[:-9], "is no JSON: "),
    "more after the end": (json.dumps(DOCUMENT) + "}", "is no JSON: Extra data"),
    "another format": ("<annotation/>", "is no JSON"),
    "bytes": (b"\x80\x81\xff\xfe" * 9, "is no JSON"),
    "something compressed": (b"\x1f\x8b\x08\x00" * 9, "is no JSON"),
    "brackets without end": ("[" * 100_000, "is no JSON: it is nested too deeply"),
    "a number without end": ('{"a": ' + "9" * 5000 + "}", "a number of thousands of digits"),
    "a list": ("[]", "holds no object"),
    "a number": ("1", "holds no object"),
    "null": ("null", "holds no object"),
    "an empty object": ("{}", "has no list of images"),
    "images of none": (top(images=None), "has no list of images"),
    "images as an object": (top(images={}), "has no list of images"),
    "annotations of none": (top(annotations=None), "has no list of annotations"),
    "annotations as an object": (top(annotations={"1": {}}), "has no list of annotations"),
    "an image that is a text": (top(images=["a.jpg"]), "image 1: expected an object, got 'a.jpg'"),
    "an image of none": (top(images=[None]), "image 1: expected an object, got None"),
    "a width of none": (image(width=None), "image 2: expected width to be"),
    "a width of nothing": (image(width=0), "image 2: expected width to be greater than 0, got 0"),
    "a height below zero": (image(height=-30), "image 2: expected height to be greater than 0"),
    "half a pixel": (image(width=40.5), "image 2: expected width to be a valid integer"),
    "a width that is no number": (image(width=math.nan), "image 2: expected width to be"),
    "a width that is a text": (image(width="wide"), "image 2: expected width to be"),
    "no name": (image(file_name=""), "image 2: file_name: string should have at least 1 character"),
    "a name of none": (image(file_name=None), "image 2: expected file_name to be a valid string"),
    "half a character": (image(file_name="\ud800.jpg"), "image 2: expected file_name to be"),
    "a name that is a number": (image(file_name=5), "image 2: expected file_name to be"),
    "the id of another image": (image(id=1), "image 2: expected every id once, 1 is there twice"),
}


@pytest.mark.parametrize("how", BAD_FILES)
def test_a_file_that_is_wrong_is_refused_in_a_sentence(how: str, tmp_path: Path) -> None:
    content, sentence = BAD_FILES[how]
    path = tmp_path / "instances.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for load in (load_masks, load_truth):
        with pytest.raises(DatasetError) as caught:
            load(path)
        assert sentence in str(caught.value)
        assert str(path) in str(caught.value)


BAD_CATEGORIES: dict[str, tuple[str, str]] = {
    "no categories": (top(categories=None), "has no list of categories"),
    "a category that is a text": (top(categories=["cat"]), "category 1: expected an object"),
    "a category without a name": (top(categories=[{"id": 7}]), "category 1: expected name"),
    "a category twice": (
        top(categories=2 * DOCUMENT["categories"]), "category 2: expected every id once"),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD_CATEGORIES)
def test_categories_matter_to_a_truth_alone(how: str, tmp_path: Path) -> None:
    content, sentence = BAD_CATEGORIES[how]
    path = tmp_path / "truth.json"
    path.write_text(content)
    assert len(load_masks(path).annotations) == 2
    with pytest.raises(DatasetError) as caught:
        load_truth(path)
    assert sentence in str(caught.value)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: Is a directory"):
        load_masks(tmp_path)
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        load_masks(tmp_path / "none.json")


def test_an_image_too_large_for_any_mask_takes_no_memory(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["images"][1].update(width=2_000_000_000, height=1)
    document["annotations"][1]["segmentation"] = [[0, 0, 1.9e9, 0, 1.9e9, 1, 0, 1]]
    (bad,) = load_masks(write(tmp_path / "wide.json", document)).left_out
    assert "expected an outline of at most 4,194,304 pixels" in str(bad)
    document["images"][1].update(height=2)
    (bad,) = load_masks(write(tmp_path / "wide.json", document)).left_out
    assert "an RLE cannot be of 2 x 2000000000 pixels" in str(bad)


def test_how_many_are_wrong_is_told(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    for annotation in document["annotations"]:
        annotation["segmentation"] = []
    with pytest.raises(DatasetError, match=r"annotation 1 \(id 11\): .*\(2 annotations are wrong"):
        load_masks(write(tmp_path / "empty.json", document))


def test_a_file_without_annotations_is_none_of_bad_ones(tmp_path: Path) -> None:
    loaded = load_masks(write(tmp_path / "bare.json", {**DOCUMENT, "annotations": []}))
    assert (len(loaded.images), loaded.annotations, loaded.left_out) == (2, [], ())


def test_entries_of_one_image_are_joined(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["images"].append({**document["images"][0], "id": 3})
    document["annotations"].append({**document["annotations"][0], "id": 13, "image_id": 3})
    loaded = load_masks(write(tmp_path / "twice.json", document))
    joined = join_images(loaded, lambda image: image.file_name)
    assert [image.id for image in joined.images] == [1, 2]
    assert [(a.id, a.image_id) for a in joined.annotations] == [(11, 1), (12, 2), (13, 1)]
    document["images"][2]["width"] = 50
    loaded = load_masks(write(tmp_path / "twice.json", document))
    sentence = r"'a.jpg'.* got 40 x 30 pixels \(id 1\) and 50 x 30 pixels \(id 3\)"
    with pytest.raises(DatasetError, match=sentence):
        join_images(loaded, lambda image: image.file_name)
