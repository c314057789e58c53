"""The way of images through a worker: segmented or with stored masks, together or each alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.telling_models import NarrowSegmenter, read_sizes

from pipeline.runners.local import LocalRunner
from pipeline.runners.model_worker import ModelWorker
from pipeline.runners.recipe import Recipe
from pipeline.runners.stored_masks_segmenter import StoredMasksSegmenter
from schemas.ids import image_id, object_id
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.labels import LabelEntry
from schemas.options import LabelOptions
from schemas.records import EmbeddedImage
from schemas.work import WorkItem
from workers.labelling.labeller import Labeller
from workers.labelling.text_match import TextMatcher
from workers.segmenter_protocols import Segmenter


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return fakes.recipe(fakes.settings(tmp_path / "index"))


def read(recipe: Recipe, *paths: Path) -> list[DecodedImage]:
    refs = [ImageRef("file", "", str(path), _version(path), path.stat().st_size) for path in paths]
    return [image for image in recipe.reader(refs) if isinstance(image, DecodedImage)]


def _version(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def with_stored_masks(recipe: Recipe) -> Recipe:
    return replace(recipe, segmenter=partial(StoredMasksSegmenter, "bright", "f"))


def test_stored_masks_are_embedded_as_those_that_a_segmenter_finds(
    recipe: Recipe, tmp_path: Path
) -> None:
    images = read(recipe, *fakes.write_images(tmp_path, 3))
    segmented = ModelWorker(recipe).process(images)
    masks = [tuple(fakes.segmenter().segment([image.pixels])[0]) for image in images]
    stored = replace(
        recipe,
        segmenter=partial(StoredMasksSegmenter, "bright", fakes.segmenter().fingerprint),
    )
    items = [WorkItem(image.ref, known) for image, known in zip(images, masks, strict=True)]
    (embedded,) = LocalRunner(stored).run([items])
    for image, expected in zip(embedded, segmented, strict=True):
        assert isinstance(image, EmbeddedImage)
        assert isinstance(expected, EmbeddedImage)
        assert len(image.objects) == 2
        assert [record.object_id for record in image.objects] == [
            record.object_id for record in expected.objects
        ]
        assert [record.mask for record in image.objects] == [
            record.mask for record in expected.objects
        ]
        for record, expected_record in zip(image.objects, expected.objects, strict=True):
            assert record.vectors["clip"].tobytes() == expected_record.vectors["clip"].tobytes()


def test_masks_of_another_size_are_a_failure_of_their_image_alone(
    recipe: Recipe, tmp_path: Path
) -> None:
    first, second = read(recipe, *fakes.write_images(tmp_path, 2))
    (masks,) = fakes.segmenter().segment([first.pixels])
    (others,) = fakes.segmenter().segment([first.pixels[:, :20]])
    worker = ModelWorker(with_stored_masks(recipe))
    good, bad = worker.process([first, second], [tuple(masks), tuple(others)])
    assert isinstance(good, EmbeddedImage)
    assert isinstance(bad, Failure)
    assert (bad.stage, bad.error_class) == (Stage.SEGMENT, "VectorIndexError")
    assert bad.message == (
        f"expected masks of (16, 24) pixels, got one of (16, 20) ({second.ref.uri})"
    )


def test_an_image_that_lacks_its_stored_masks_is_a_failure(recipe: Recipe, tmp_path: Path) -> None:
    (image,) = read(recipe, *fakes.write_images(tmp_path, 1))
    (failure,) = ModelWorker(with_stored_masks(recipe)).process([image])
    assert isinstance(failure, Failure)
    assert failure.message == "expected images with the stored masks of bright, got 1 without"


def test_what_stands_for_a_segmenter_is_one() -> None:
    segmenter: Segmenter = StoredMasksSegmenter("bright", "f")
    assert (segmenter.name, segmenter.fingerprint) == ("bright", "f")


@pytest.mark.parametrize(
    ("embedder", "misbehaviour", "stage"),
    [
        (fakes.embedder, "error", Stage.SEGMENT),
        (partial(fakes.embedder, zero=True), "", Stage.EMBED),
    ],
)
def test_a_failure_names_the_stage_and_spares_the_others(
    recipe: Recipe,
    tmp_path: Path,
    embedder: partial[fakes.MeanEmbedder],
    misbehaviour: fakes.Misbehaviour,
    stage: Stage,
) -> None:
    recipe = replace(recipe, segmenter=partial(fakes.segmenter, misbehaviour), embedder=embedder)
    earlier = Failure(ImageRef("s3", "b", "k", "v", 1), Stage.READ, "BadImageError", "bad", False)
    good = read(recipe, *fakes.write_images(tmp_path, 2))
    poisoned = read(recipe, fakes.write_image(tmp_path / "poison.png", 3, fakes.POISON))
    results = ModelWorker(recipe).process([good[0], earlier, *poisoned, good[1]])
    assert isinstance(results[0], EmbeddedImage)
    assert results[1] is earlier
    assert isinstance(results[2], Failure)
    assert results[2].stage is stage
    assert isinstance(results[3], EmbeddedImage)


def test_an_image_that_fails_in_company_only_comes_through_alone(
    recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(recipe, segmenter=partial(fakes.segmenter, "error in a batch"))
    images = read(
        recipe,
        *fakes.write_images(tmp_path, 2),
        fakes.write_image(tmp_path / "poison.png", 3, fakes.POISON),
    )
    assert [type(result) for result in ModelWorker(recipe).process(images)] == [EmbeddedImage] * 3


def match_bright(text: str) -> TextMatcher:
    """What finds the bright square of a fake's image, not its left half."""
    bright = np.array([1, 1, 0.8, 0, 0, 0, 0.5], np.float32)
    dark = np.array([0.1, 0.2, 0.3, 0.2, 0.2, 0.2, 0.9], np.float32)
    vectors = np.stack([vector / np.linalg.norm(vector) for vector in (bright, dark)])
    labeller = Labeller((LabelEntry("dark"),), vectors[1:], LabelOptions(), "some/other")
    return TextMatcher((text,), vectors[:1], labeller)


def test_only_objects_that_show_a_text_are_kept(recipe: Recipe, tmp_path: Path) -> None:
    images = read(recipe, *fakes.write_images(tmp_path, 2))
    of_all = ModelWorker(recipe)
    worker = ModelWorker(replace(recipe, matcher=partial(match_bright, "a light")))
    whole, kept = of_all.process(images)[0], worker.process(images)[0]
    assert isinstance(whole, EmbeddedImage)
    assert isinstance(kept, EmbeddedImage)
    (record,) = kept.objects
    bright = whole.objects[1]
    assert (record.mask.rle, record.mask.segmenter_label) == (bright.mask.rle, "a light")
    assert record.vectors["clip"].tobytes() == bright.vectors["clip"].tobytes()
    # Numbered anew, under a pipeline of its own.
    assert record.object_id == object_id(image_id(images[0].ref), kept.revision, 0)
    assert (record.level, record.parent_id) == ("whole", None)
    other = ModelWorker(replace(recipe, matcher=partial(match_bright, "a lamp")))
    assert len({each.info.fingerprint for each in (of_all, worker, other)}) == 3


def test_a_chunk_that_does_not_fit_into_memory_is_worked_on_by_halves(
    recipe: Recipe, tmp_path: Path
) -> None:
    images = read(recipe, *fakes.write_images(tmp_path / "images", 7))
    log = tmp_path / "log"
    worker = ModelWorker(replace(recipe, segmenter=partial(NarrowSegmenter, log, 3)))
    found, expected = worker.process(images), ModelWorker(recipe).process(images)
    assert [image.ref for image in found] == [image.ref for image in expected]
    assert all(isinstance(image, EmbeddedImage) for image in found)
    assert read_sizes(log) == [7, 4, 2, 2, 2, 1]
    assert worker.images_at_once == 2
    worker.lower_images_at_once(1)
    worker.process(images[:2])
    assert read_sizes(log)[6:] == [1, 1]


def test_an_image_that_does_not_fit_alone_is_its_own_failure(
    recipe: Recipe, tmp_path: Path
) -> None:
    images = read(recipe, *fakes.write_images(tmp_path / "images", 2))
    worker = ModelWorker(replace(recipe, segmenter=partial(NarrowSegmenter, tmp_path / "log", 0)))
    for failure in worker.process(images):
        assert isinstance(failure, Failure)
        assert (failure.stage, failure.error_class) == (Stage.SEGMENT, "MemoryError")
        assert failure.retryable
