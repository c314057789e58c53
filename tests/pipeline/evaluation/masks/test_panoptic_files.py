"""COCO panoptic files are measured by the pixels of their PNGs, void left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.drawn_segments import KINDS, SIZE_HW, Ids, disturb, draw_ids, measure_slowly

from pipeline.evaluation.masks.found_masks import read_found, read_true
from pipeline.evaluation.masks.processes import count_images
from pipeline.segmentation.coco_files import encode_ids
from schemas.errors import DatasetError

_LARGE = 70_000  # an id that takes all three bytes


def write(
    path: Path, images: list[tuple[Ids, dict[int, int], set[int]]], **changes: Any
) -> dict[str, Any]:
    path.with_suffix("").mkdir()
    annotations = []
    for number, (ids, kinds, crowds) in enumerate(images):
        large = np.where(ids > 0, ids + _LARGE, 0).astype(np.uint32)
        Image.fromarray(encode_ids(large)).save(path.with_suffix("") / f"{number}.png")
        annotations.append(
            {
                "image_id": number,
                "file_name": f"{number}.png",
                "segments_info": [
                    {"id": id + _LARGE, "category_id": kind + 1, "iscrowd": int(id in crowds)}
                    for id, kind in kinds.items()
                ],
            }
        )
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": SIZE_HW[0], "width": SIZE_HW[1]}
            for n in range(len(images))
        ],
        "categories": [{"id": n + 1, "name": f"kind {n}"} for n in range(KINDS)],
        "annotations": annotations,
        **changes,
    }
    path.write_text(json.dumps(document))
    return document


@pytest.mark.parametrize("seed", range(20))
def test_quality_is_that_of_the_pixels(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(4):
        ids, kinds, crowds = draw_ids(rng, 9)
        images.append((ids, kinds, crowds, *disturb(ids, kinds, rng)))
    write(tmp_path / "true.json", [image[:3] for image in images])
    write(tmp_path / "found.json", [(*image[3:], set()) for image in images])
    truth = read_true(tmp_path / "true.json", strict=True)
    found = read_found(tmp_path / "found.json", truth, strict=True)
    figures = count_images(found.pair(truth)).measure(samples=0).figures
    _, mean = measure_slowly(images)
    assert figures["pq"].value == pytest.approx(mean, abs=1e-12)
    ious = []
    for kind in range(KINDS):
        shared = union = true = 0
        for ids, kinds, _, found_ids, found_kinds in images:
            here = np.isin(ids, [n for n, k in kinds.items() if k == kind])
            there = np.isin(found_ids, [n for n, k in found_kinds.items() if k == kind])
            shared += (here & there).sum()
            union += (here | (there & (ids > 0))).sum()
            true += here.sum()
        if true:
            ious.append(shared / union)
    assert figures["miou"].value == pytest.approx(np.mean(ious), abs=1e-12)


def test_the_truth_against_itself_is_1(tmp_path: Path) -> None:
    ids, kinds, _ = draw_ids(np.random.default_rng(3), 9)
    write(tmp_path / "true.json", [(ids, kinds, set())])
    truth = read_true(tmp_path / "true.json")
    found = read_found(tmp_path / "true.json", truth)
    figures = count_images(found.pair(truth)).measure(samples=0).figures
    assert (figures["pq"].value, figures["sq"].value, figures["miou"].value) == (1, 1, 1)


def test_an_image_without_an_annotation_is_void(tmp_path: Path) -> None:
    ids, kinds, _ = draw_ids(np.random.default_rng(3), 9)
    path = tmp_path / "true.json"
    document = write(path, [(ids, kinds, set()), (ids, kinds, set())])
    found = read_found(path, read_true(path))
    path.write_text(json.dumps({**document, "annotations": document["annotations"][:1]}))
    truth = read_true(path)
    assert truth.void[1].area_px == ids.size
    figures = count_images(found.pair(truth)).measure(samples=0).figures
    assert (figures["pq"].value, figures["miou"].value) == (1, 1)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    ids, kinds, _ = draw_ids(np.random.default_rng(3), 9)
    path = tmp_path / "true.json"
    document = write(path, [(ids, kinds, set())])
    entry = document["annotations"][0]
    picture = tmp_path / "true" / "0.png"

    def expect(match: str, **changes: Any) -> None:
        path.write_text(json.dumps({**document, "annotations": [{**entry, **changes}]}))
        with pytest.raises(DatasetError, match=match):
            read_true(path)

    expect("annotation 1: expected the id of an image, each once, got 7", image_id=7)
    expect(r"annotation 1: .*segments_info", segments_info=[{"id": 1}])
    path.write_text(json.dumps({**document, "annotations": [entry, entry]}))
    with pytest.raises(DatasetError, match="annotation 2: expected the id of an image, each once"):
        read_true(path)
    expect("to hold the segments listed of it, 7000. is none", segments_info=[])
    expect("expected a PNG of segments at .*none.png: No such file", file_name="none.png")
    picture.write_bytes(b"no picture")
    expect("expected a PNG of segments at .*0.png, it is none")
    Image.new("RGB", (3, 4)).save(picture)
    expect("to be 40 x 30 pixels as its image, it is 3 x 4")
    Image.fromarray(encode_ids(ids.astype(np.uint32))).save(picture)
    picture.write_bytes(picture.read_bytes()[:-30])
    expect("expected a PNG of segments at .*0.png: ")
