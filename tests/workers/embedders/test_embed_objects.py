"""Crops of all images in shared batches, and records out of them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from support.object_masks import object_mask

from schemas.errors import InvalidVectorError
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import DecodedImage, ImageRef
from schemas.options import EmbedderOptions
from schemas.payload import payload_of
from schemas.records import VECTOR_NAME, check_vectors
from workers.embedders.embed_objects import embed_masks, embed_segmented, unit_mean
from workers.images.crops import object_views, square_image
from workers.protocols import Embedder

FINGERPRINT = "0123456789abcdef"


class ColourEmbedder:
    """The unit vector of a crop's mean colour, and its size so that views differ."""

    name, fingerprint, dim = "colour", "colour-1", 4

    def __init__(self):
        self.batches = []

    def embed_images(self, crops):
        self.batches.append(len(crops))
        rows = np.array([[*crop.mean((0, 1)), len(crop)] for crop in crops], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_texts(self, texts):
        return np.ones((len(texts), self.dim), np.float32) / 2


def make_case(seed, objects, size_hw=(20, 30)):
    rng = np.random.default_rng(seed)
    ref = ImageRef("s3", "bucket", f"image-{seed}.png", f"v{seed}", 10)
    image = DecodedImage(ref, rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8))
    masks = []
    for _ in range(objects):
        mask = np.zeros(size_hw, bool)
        y, x = rng.integers(0, size_hw[0] - 5), rng.integers(0, size_hw[1] - 5)
        mask[y : y + 5, x : x + 4] = True
        masks.append(object_mask(mask))
    return image, masks


def embed(cases, **options):
    embedder: Embedder = ColourEmbedder()
    images, masks = zip(*cases, strict=True) if cases else ((), ())
    settings = EmbedderOptions(**{"views": "both", **options})
    return embed_segmented(images, masks, embedder, settings, FINGERPRINT, "a-segmenter"), embedder


def test_every_object_and_the_image_get_a_unit_vector_and_their_ids():
    cases = [make_case(0, 3), make_case(1, 0), make_case(2, 1, (7, 40))]
    embedded, _ = embed(cases)
    assert [len(image.objects) for image in embedded] == [3, 0, 1]
    for (image, masks), record in zip(cases, embedded, strict=True):
        revision = ImageRevision(image.ref.version, FINGERPRINT)
        identity = image_id(image.ref)
        assert record.ref == image.ref
        assert record.size_hw == image.size_hw
        assert record.revision == revision
        assert (record.segmenter, record.embedder) == ("a-segmenter", "colour")
        assert record.whole.object_id == object_id(identity, revision, IMAGE_ORDINAL)
        assert [found.mask for found in record.objects] == masks
        assert [found.object_id for found in record.objects] == [
            object_id(identity, revision, ordinal) for ordinal in range(len(masks))
        ]
        check_vectors(record, 4)
        for found in (record.whole, *record.objects):
            vector = found.vectors[VECTOR_NAME]
            assert vector.dtype == np.float32
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("views", ["both", "context", "cutout"])
def test_the_vector_is_the_unit_mean_of_the_views_asked_for(views):
    image, masks = make_case(3, 2)
    [record], embedder = embed([(image, masks)], views=views)
    options = EmbedderOptions(views=views)
    for found, mask in zip(record.objects, masks, strict=True):
        rows = embedder.embed_images(object_views(image.pixels, mask, options))
        mean = rows.astype(np.float64).mean(0)
        expected = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(found.vectors[VECTOR_NAME], expected, atol=1e-6)
    whole = embedder.embed_images([square_image(image.pixels, options.cutout_fill)])[0]
    np.testing.assert_allclose(record.whole.vectors[VECTOR_NAME], whole, atol=1e-6)


def test_the_cutout_weighs_what_is_set():
    image, masks = make_case(3, 2)
    [record], embedder = embed([(image, masks)], cutout_weight=0.8)
    options = EmbedderOptions(views="both")
    alone = embed_masks(
        image.pixels, masks, embedder, EmbedderOptions(views="both", cutout_weight=0.8)
    )
    for found, mask, vector in zip(record.objects, masks, alone, strict=True):
        context, cutout = embedder.embed_images(object_views(image.pixels, mask, options))
        mean = 0.2 * context + 0.8 * cutout
        expected = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(found.vectors[VECTOR_NAME], expected, atol=1e-6)
        np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_the_mean_of_equal_weights_is_the_mean_to_the_bit():
    views = np.random.default_rng(0).normal(size=(500, 2, 33)).astype(np.float32)
    mean = views.mean(axis=1, dtype=np.float32)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    weights = EmbedderOptions(views="both").view_weights
    np.testing.assert_array_equal(unit_mean(views, weights), expected)
    np.testing.assert_array_equal(
        unit_mean(views[:, :1], EmbedderOptions().view_weights),
        views[:, 0] / np.linalg.norm(views[:, 0], axis=1, keepdims=True),
    )


def test_crops_share_batches_across_images_and_no_more_are_held_at_once():
    cases = [make_case(seed, 3) for seed in range(5)]
    _, embedder = embed(cases, batch_size=8)
    assert embedder.batches == [8, 8, 8, 8, 3]  # 5 images and 15 objects of two views
    _, embedder = embed(cases, batch_size=8, views="cutout")
    assert embedder.batches == [8, 8, 4]


def test_an_image_has_the_same_vectors_in_any_company():
    cases = [make_case(seed, 4) for seed in range(3)]
    together, _ = embed(cases, batch_size=5)
    for case, record in zip(cases, together, strict=True):
        [alone], _ = embed([case])
        for lone_object, batched_object in zip(alone.objects, record.objects, strict=True):
            np.testing.assert_allclose(
                lone_object.vectors[VECTOR_NAME], batched_object.vectors[VECTOR_NAME], atol=1e-5
            )


def test_nothing_gives_nothing():
    embedded, embedder = embed([])
    assert embedded == []
    assert embedder.batches == []


def test_images_without_their_masks_are_a_bug():
    image, masks = make_case(0, 1)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        embed_segmented(
            [image, image], [masks], ColourEmbedder(), EmbedderOptions(), FINGERPRINT, "s"
        )


def test_opposite_views_give_a_zero_that_the_index_refuses():
    views = np.array([[[1, 0], [-1, 0]], [[1, 0], [0, 1]]], np.float32)
    mean = unit_mean(views, (0.5, 0.5))
    np.testing.assert_allclose(mean, [[0, 0], [0.5**0.5, 0.5**0.5]], atol=1e-7)

    class Opposite(ColourEmbedder):
        def embed_images(self, crops):
            rows = np.zeros((len(crops), self.dim), np.float32)
            rows[:, 0] = [1, 1, -1]
            return rows

    image, masks = make_case(0, 1)
    [record] = embed_segmented(
        [image], [masks], Opposite(), EmbedderOptions(views="both"), FINGERPRINT, "a-segmenter"
    )
    with pytest.raises(InvalidVectorError, match=r"s3://bucket/image-0\.png"):
        check_vectors(record, 4)


def test_the_demo_model_sees_cutouts_unless_told() -> None:
    assert EmbedderOptions().views == "cutout"
    assert EmbedderOptions(views="both").views == "both"
    assert EmbedderOptions(name="ViT-B-32/openai").views == "both"


def test_objects_know_what_they_are_parts_of():
    image, _ = make_case(0, 0)
    whole, part, beside = np.zeros((3, *image.size_hw), bool)
    whole[2:12, 2:12] = part[3:8, 3:8] = beside[15:18, 20:25] = True
    ((embedded,), _) = embed([(image, [object_mask(mask) for mask in (whole, part, beside)])])
    objects = embedded.objects
    assert [record.level for record in objects] == ["whole", "part", "whole"]
    assert [record.parent_id for record in objects] == [None, objects[0].object_id, None]
    payload = payload_of(embedded, objects[1], 1, datetime.now(UTC))
    assert (payload.level, payload.parent_id) == ("part", str(objects[0].object_id))
