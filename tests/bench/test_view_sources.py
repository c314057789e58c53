"""What is kept of scenes: masks and vectors are made once, and are those of an ingest."""

import numpy as np
import pytest
from PIL import Image
from support.object_masks import object_mask

from bench import kept_scenes
from bench.kept_scenes import KeptScenes, keep_scenes
from bench.view_sources import Source, vary
from bench.views import list_variants
from schemas.coco import CocoImage, CocoTruth
from workers.embedders.embed_objects import embed_masks

SIZE = (30, 40)


class CountingEmbedder:
    """A crop's first pixels and mean, as a unit vector."""

    fingerprint, dim = "counting", 5

    def __init__(self):
        self.crops = 0

    def embed_images(self, crops):
        self.crops += len(crops)
        rows = np.array([[*crop.mean((0, 1)), *crop[0, 0, :2]] for crop in crops], np.float32) + 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_mask(left):
    mask = np.zeros(SIZE, bool)
    mask[5:20, left : left + 12] = True
    mask[5:10, left] = False
    return object_mask(mask)


@pytest.fixture
def scenes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    images = [CocoImage(id=1, file_name="1.png", width=SIZE[1], height=SIZE[0])]
    return KeptScenes(CocoTruth(images=images, annotations=[], categories=[]), tmp_path)


def test_vectors_are_those_of_an_ingest_and_made_once(scenes):
    masks = [make_mask(0), make_mask(20)]
    source, embedder = Source("found", scenes, [masks]), CountingEmbedder()
    pixels = scenes.read(scenes.truth.images[0])
    first = {name: source.embed(embedder, options) for name, options in list_variants().items()}
    made = embedder.crops
    again = {name: source.embed(embedder, options) for name, options in list_variants().items()}
    assert embedder.crops == made == 2 * 13  # of both views each is embedded alone
    for name, options in list_variants().items():
        expected = embed_masks(pixels, masks, embedder, options)
        np.testing.assert_allclose(first[name].vectors, expected, atol=1e-6)
        np.testing.assert_array_equal(again[name].vectors, first[name].vectors)
        assert again[name].cpu_s == first[name].cpu_s


def test_boxes_take_the_place_of_masks(scenes):
    boxes = Source("found", scenes, [[make_mask(3)]]).fill_boxes()
    [[box]] = boxes.found
    assert (box.bbox_xyxy, box.area_px) == ((3, 5, 15, 20), 180)
    options = vary(views="both", context_margin=0, to_square="pad")
    context, cutout = (
        boxes.embed(CountingEmbedder(), vary(**{**options.model_dump(), "views": view})).vectors
        for view in ("context", "cutout")
    )
    np.testing.assert_array_equal(context, cutout)


def test_what_a_segmenter_finds_is_found_once(scenes, monkeypatch):
    found, segmented = [make_mask(3), make_mask(9)], []

    class CountingSegmenter:
        fingerprint = "counting"

        def segment(self, images):
            segmented.extend(images)
            return [found]

    monkeypatch.setattr(kept_scenes, "build_segmenter", lambda options: CountingSegmenter())
    for _ in range(2):
        [masks] = scenes.find_masks("any")
        assert [mask.rle for mask in masks] == [mask.rle for mask in found]
        assert [mask.predicted_iou for mask in masks] == [mask.predicted_iou for mask in found]
    assert len(segmented) == 1


def test_fewer_scenes_of_a_seed_are_the_first_of_more(tmp_path):
    two = keep_scenes(tmp_path, 2, 5, held_out=False)
    one = keep_scenes(tmp_path, 1, 5, held_out=False)
    assert one.truth.images == two.truth.images[:1]
    np.testing.assert_array_equal(one.read(one.truth.images[0]), two.read(two.truth.images[0]))
