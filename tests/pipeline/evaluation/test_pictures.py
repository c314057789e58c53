"""The figures of `objseek eval` for boxes and for copies, where they are known by construction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.colour_world import OPTIONS, PICTURES, ColourEmbedder, build_index

from pipeline.evaluation import copies as copies_module
from pipeline.evaluation.boxes import grow_box, measure_boxes
from pipeline.evaluation.copies import encode_again, measure_copies
from pipeline.evaluation.matching import group_by_image, match
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.masks import CocoRle
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

HW = (80, 120)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return build_index(tmp_path).model_copy(update={"embedder": OPTIONS})


def annotate(number: int, image: int, box: tuple[int, int, int, int]) -> CocoAnnotation:
    x0, y0, x1, y1 = box
    mask = np.zeros(HW, np.bool_)
    mask[y0:y1, x0:x1] = True
    rle = CocoRle.from_mask(mask)
    return CocoAnnotation(
        id=number,
        image_id=image,
        category_id=1,
        bbox=(x0, y0, x1 - x0, y1 - y0),
        area=rle.area_px,
        segmentation={"size": list(HW), "counts": rle.counts},
    )


def truth_of(*more: CocoAnnotation) -> CocoTruth:
    images = [
        CocoImage(id=n, file_name=name, width=120, height=80) for n, name in enumerate(PICTURES)
    ]
    squares = [
        annotate(10 * n + place, n, box)
        for n, name in enumerate(PICTURES)
        for place, (_, box) in enumerate(PICTURES[name])
    ]
    category = CocoCategory(id=1, name="square")
    return CocoTruth(images=images, annotations=[*squares, *more], categories=[category])


def measure(truth: CocoTruth, index: VectorIndex) -> dict[float, float | None]:
    points = group_by_image(index.scroll(), truth)
    return measure_boxes(truth, points, match(truth, points, index.note_broken), index)


def test_a_box_finds_its_own_object_unless_the_index_has_none(settings: Settings) -> None:
    index = open_index(settings.index, None)
    try:
        assert measure(truth_of(), index) == {0.0: 1.0, 0.25: 1.0, 0.5: 1.0}
        # The index has nothing there; the truth has four other objects.
        missed = annotate(99, 0, (90, 5, 115, 30))
        assert measure(truth_of(missed), index) == {0.0: 0.8, 0.25: 0.8, 0.5: 0.8}
    finally:
        index.close()


def test_boxes_are_drawn_wider_within_the_image() -> None:
    annotation = annotate(1, 0, (20, 20, 60, 70))
    assert grow_box(annotation, 0.0, HW) == (20, 20, 60, 70)
    assert grow_box(annotation, 0.25, HW) == (10, 8, 70, 80)
    assert grow_box(annotation, 0.5, HW) == (0, 0, 80, 80)


def test_copies_are_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as searcher:
        scores = measure_copies(searcher)
        assert (scores.exact_copies, scores.near_copies, scores.mistaken_copies) == (1.0, 1.0, 0.0)
        monkeypatch.setattr(copies_module, "encode_again", lambda pixels: 255 - pixels)
        scores = measure_copies(searcher)
        assert (scores.exact_copies, scores.near_copies, scores.mistaken_copies) == (1.0, 0.0, 0.0)


def test_without_their_images_nothing_is_said_of_copies(settings: Settings, tmp_path: Path) -> None:
    for name in PICTURES:
        (tmp_path / name).unlink()
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as searcher:
        scores = measure_copies(searcher)
    assert (scores.exact_copies, scores.near_copies, scores.mistaken_copies) == (None, None, None)


def test_a_copy_is_smaller_and_encoded_again() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    again = encode_again(pixels)
    assert again.shape == (30, 60, 3)
    resized = np.asarray(Image.fromarray(pixels).resize((60, 30)))
    assert 5 < np.abs(again.astype(int) - resized).mean() < 60
