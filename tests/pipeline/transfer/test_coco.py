"""COCO files: masks that go out come back, and others' come in; what is wrong is told by place."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco
from support import fakes
from support.commands import objseek
from support.damage import change_a_mask, cut_a_mask, do, move_a_box_out
from support.transfer_world import IMAGES, at, small_index

from pipeline.cli.transfer_output import print_left_out
from pipeline.jobs.ingest import IngestSummary
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from pipeline.transfer.coco_file import CocoImageMasks, group_masks
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.import_coco import import_coco
from schemas.coco import BadAnnotation
from schemas.coco_reader import load_masks
from schemas.errors import DatasetError, UsageError
from workers.indexes.open import open_index


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_index(tmp_path_factory.mktemp("world"))


def bring(settings: Settings, path: Path, images: str | None = None) -> IngestSummary:
    return import_coco(settings, path, images, recipe=fakes.recipe(settings), strict=True).run


def read_coco(path: Path) -> list[CocoImageMasks]:
    return group_masks(load_masks(path))


def masks_of(settings: Settings) -> set[tuple[str, str, tuple[int, ...], float | None]]:
    with closing(open_index(settings.index, None)) as index:
        return {
            (payload.uri, payload.rle.counts, payload.bbox, payload.predicted_iou)
            for payload in (point.parse_payload() for point in index.scroll())
            if payload.rle is not None
        }


def test_masks_go_out_and_come_back(
    world: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes.BrightSegmenter, "segment", None)
    path = tmp_path / "masks.json"
    export_coco(world, path)
    other = at(world, tmp_path / "other")
    counts = bring(other, path).counts
    assert (counts.done, counts.objects, counts.failed) == (IMAGES + 1, 2 * (IMAGES + 1), 0)
    there = {mask[:3] for mask in masks_of(other)}
    assert there == {mask[:3] for mask in masks_of(world)}
    assert verify(other).findings == []
    again = bring(other, path).counts
    assert (again.unchanged, again.handled) == (IMAGES + 1, 0)


def squares(folder: Path) -> dict[str, Any]:
    """A file of others, in each form that COCO has, for two of the images in `folder`."""
    fakes.write_images(folder, 2)
    inside = np.zeros((16, 24), np.uint8)
    inside[2:6, 3:9] = 1
    rle = coco.encode(np.asfortranarray(inside))
    counts = [3 * 16 + 2, *[4, 12] * 5, 4, 16 * 24 - (3 * 16 + 2) - 6 * 4 - 5 * 12]
    forms: list[Any] = [
        {"size": [16, 24], "counts": rle["counts"].decode()},
        {"size": [16, 24], "counts": counts},
        [[3, 2, 9, 2, 9, 6, 3, 6]],
    ]
    return {
        "images": [
            {"id": 7, "file_name": "000.png", "height": 16, "width": 24},
            {"id": "b", "file_name": "001.png", "height": 16, "width": 24},
        ],
        "annotations": [
            {"id": number, "image_id": 7, "category_id": 1, "segmentation": form, "iscrowd": 0}
            for number, form in enumerate(forms)
        ],
        "categories": [{"id": 1, "name": "square"}],
    }


def test_a_file_of_others_comes_in_by_the_names_of_its_images(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(squares(tmp_path / "images")))
    first, second = read_coco(path)
    assert [mask.bbox_xyxy for mask in first.masks] == [(3, 2, 9, 6)] * 3
    assert {mask.area_px for mask in first.masks} == {24}
    assert second.masks == ()
    settings = fakes.settings(tmp_path / "index")
    counts = bring(settings, path, str(tmp_path / "images")).counts
    assert (counts.done, counts.objects) == (2, 3)
    assert {uri for uri, *_ in masks_of(settings)} == {(tmp_path / "images/000.png").as_uri()}
    assert verify(settings, [str(tmp_path / "images")]).findings == []


def test_an_image_of_another_size_or_none_is_not_done(tmp_path: Path) -> None:
    document = squares(tmp_path / "images")
    (tmp_path / "images" / "001.png").unlink()
    for image in document["images"]:
        image |= {"height": 24, "width": 16}
    document["annotations"] = [{"id": 1, "image_id": 7, "segmentation": [[3, 2, 9, 2, 9, 6, 3, 6]]}]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    summary = bring(fakes.settings(tmp_path / "index"), path, str(tmp_path / "images"))
    counts = summary.counts
    assert (counts.done, counts.failed, counts.gone) == (0, 1, 1)
    assert (
        "expected masks of (16, 24) pixels, got one of (24, 16)"
        in summary.details.failures[0].message
    )


def annotation(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["annotations"][1].update(changes)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["annotations"][1].pop(name)


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no images": (lambda d: d.pop("images"), "has no list of images"),
    "an image twice": (lambda d: d["images"].append(d["images"][0]), "image 3: expected every id"),
    "no height": (lambda d: d["images"][1].pop("height"), "image 2: expected height"),
    "no pixels": (
        lambda d: d["images"][1].update(width=0),
        "image 2: expected width to be greater than 0, got 0"),
    "an id twice": (
        annotation(id=0), "annotation 2 (id 0): expected every id once, 0 is there twice"),
    "no such image": (
        annotation(image_id=8),
        "annotation 2 (id 1): expected the id of an image, got 8"),
    "an id that is none": (
        annotation(image_id=[]),
        "annotation 2 (id 1): expected image_id to be a valid integer"),
    "no segmentation": (without("segmentation"), "annotation 2 (id 1): expected segmentation"),
    "broken RLE": (
        annotation(segmentation={"size": [16, 24], "counts": "abc"}),
        "annotation 2 (id 1): the RLE "),
    "another size": (
        annotation(segmentation={"size": [24, 16], "counts": "abc"}),
        "expected a mask of [16, 24], got one of [24, 16]"),
    "no size": (
        annotation(segmentation={"size": 16, "counts": "abc"}),
        "annotation 2 (id 1): expected a mask"),
    "a uri that is none": (
        lambda d: d["images"][1].update(uri=5),
        "image 2: expected uri to be a valid string"),
    "no pixel": (
        annotation(segmentation={"size": [16, 24], "counts": [384]}), "without a pixel"),
    "counts of another size": (
        annotation(segmentation={"size": [16, 24], "counts": [3, 4]}),
        "annotation 2 (id 1): the RLE does not cover"),
    "a text": (annotation(segmentation="x"), "expected an RLE or polygons, got x"),
    "an odd polygon": (
        annotation(segmentation=[[1, 2, 3]]),
        "annotation 2 (id 1): expected polygons"),
    "a score": (
        annotation(predicted_iou="high"),
        "annotation 2 (id 1): expected predicted_iou to be a valid number"),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_what_is_wrong_is_told_by_its_place(how: str, tmp_path: Path) -> None:
    document = squares(tmp_path / "images")
    change, sentence = WRONG[how]
    change(document)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError) as caught:
        bring(fakes.settings(tmp_path / "index"), path, str(tmp_path / "images"))
    assert sentence in str(caught.value)
    assert not (tmp_path / "index").exists()


def write_squares(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    document = squares(tmp_path / "images")
    change(document)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.trials
def test_bad_annotations_are_listed_and_the_rest_comes_in(tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["annotations"][0]["segmentation"] = []
        document["annotations"][2]["segmentation"] = [[3, 2, float("nan"), 2, 9, 6]]

    path, images = write_squares(tmp_path, spoil), str(tmp_path / "images")
    settings = fakes.settings(tmp_path / "index")
    recipe = fakes.recipe(settings)
    with pytest.raises(DatasetError, match=r"annotation 1 \(id 0\).*\(2 annotations are wrong\)"):
        import_coco(settings, path, images, recipe=recipe, strict=True)
    assert not (tmp_path / "index").exists()
    brought = import_coco(settings, path, images, recipe=recipe)
    assert (brought.run.counts.done, brought.run.counts.objects) == (2, 1)
    assert [(bad.number, bad.id) for bad in brought.left_out] == [(1, 0), (3, 2)]
    assert verify(settings, [images]).findings == []
    again = import_coco(settings, path, images, recipe=recipe)
    assert (again.run.counts.unchanged, len(again.left_out)) == (2, 2)


@pytest.mark.trials
def test_what_is_left_out_is_printed_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    print_left_out([])
    assert capsys.readouterr().out == ""
    print_left_out([BadAnnotation(n, n, "expected\x1b a mask") for n in range(1, 104)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == r"left out: annotation 1 (id 1): expected\x1b a mask"
    assert lines[-2:] == ["and 3 more", "103 annotations left out as wrong"]
    assert len(lines) == 102


@pytest.mark.trials
@pytest.mark.parametrize("between", [0, 80])
@pytest.mark.parametrize("name", ["000.png", "./000.png", "../images/000.png"])
def test_an_image_that_stands_twice_keeps_all_its_masks(
    name: str, between: int, tmp_path: Path
) -> None:
    def double(document: dict[str, Any]) -> None:
        fakes.write_images(tmp_path / "images", between + 2)
        document["images"] += [
            {"id": 100 + n, "file_name": f"{n:03}.png", "height": 16, "width": 24}
            for n in range(2, between + 2)
        ]
        document["images"].append({"id": 99, "file_name": name, "height": 16, "width": 24})
        more = {"id": 9, "image_id": 99, "segmentation": [[1, 1, 22, 1, 22, 14, 1, 14]]}
        document["annotations"].append(more)

    path = write_squares(tmp_path, double)
    settings = fakes.settings(tmp_path / "index")
    counts = bring(settings, path, str(tmp_path / "images")).counts
    assert (counts.listed, counts.done, counts.objects) == (between + 2, between + 2, 4)
    assert len(masks_of(settings)) == 2  # three of the four are the same
    assert {box for _, _, box, _ in masks_of(settings)} == {(3, 2, 9, 6), (1, 1, 22, 14)}
    assert verify(settings, [str(tmp_path / "images")]).findings == []
    assert bring(settings, path, str(tmp_path / "images")).counts.handled == 0


@pytest.mark.trials
def test_an_image_that_stands_there_in_two_sizes_is_refused_by_name(tmp_path: Path) -> None:
    def double(document: dict[str, Any]) -> None:
        document["images"][1] |= {"file_name": "./000.png", "width": 48}

    path = write_squares(tmp_path, double)
    with pytest.raises(DatasetError, match=r"'./000\.png'.* 24 x 16 .* 48 x 16"):
        bring(fakes.settings(tmp_path / "index"), path, str(tmp_path / "images"))


@pytest.mark.trials
@pytest.mark.parametrize(
    "name",
    ["none.png", "a\0b.png", "x" * 5000, "x/" * 3000 + "y.png", "000.png/inside.png", ".", "..",
     " ", "~", "http://example.com/a.png", "C:\\a.png", "\u202ea.png", "a\nb.png", "%30%30.png"],
)  # fmt: skip
def test_names_at_which_nothing_is_are_gone(name: str, tmp_path: Path) -> None:
    path = write_squares(tmp_path, lambda document: document["images"][1].update(file_name=name))
    counts = bring(fakes.settings(tmp_path / "index"), path, str(tmp_path / "images")).counts
    assert (counts.done, counts.gone, counts.failed) == (1, 1, 0)


@pytest.mark.trials
@pytest.mark.parametrize("uri", ["", "a.png", "s3://", "s3://b", "s3:///a", "gs://b/a", "s3//b/a"])
def test_a_uri_of_another_kind_is_refused(uri: str, tmp_path: Path) -> None:
    path = write_squares(tmp_path, lambda document: document["images"][1].update(uri=uri))
    with pytest.raises(UsageError, match=r"image '001\.png': expected s3://bucket/key, file://"):
        bring(fakes.settings(tmp_path / "index"), path, str(tmp_path / "images"))


@pytest.mark.trials
def test_an_export_leaves_out_the_masks_at_which_others_hang(tmp_path: Path) -> None:
    settings = small_index(tmp_path)
    do(cut_a_mask, settings, "002.png")
    do(change_a_mask, settings, "003.png")
    do(move_a_box_out, settings, "004.png")
    path = tmp_path / "masks.json"
    summary = export_coco(settings, path)
    assert (summary.objects, summary.broken) == (2 * (IMAGES + 1) - 3, 3)
    document = json.loads(path.read_text())
    ours = [annotation["segmentation"] for annotation in document["annotations"]]
    assert coco.iou(ours, ours, [0] * len(ours)).max(axis=1).tolist() == [1] * len(ours)
    counts = bring(at(settings, tmp_path / "other"), path).counts
    assert (counts.done, counts.objects) == (IMAGES + 1, summary.objects)


def test_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(squares(tmp_path / "images")))
    settings = fakes.settings(tmp_path / "index")
    with pytest.raises(UsageError, match=r"expected where the image '000\.png' is"):
        bring(settings, path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        bring(settings, tmp_path / "none.json")
    path.write_text("{")
    for args, code, sentence in (
        ([str(path)], 2, "is no JSON"),
        ([str(tmp_path / "images"), "--images", "x"], 2, "with a COCO file or vectors only"),
        ([str(tmp_path / "images")], 2, "as an export has them"),
        ([str(tmp_path / "nothing")], 2, "expected a folder or s3://bucket/prefix"),
    ):
        done = objseek("import", *args, "--index", str(tmp_path / "index"))
        assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "index").exists()
