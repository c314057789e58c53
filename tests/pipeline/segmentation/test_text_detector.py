"""Texts in single images: by a detector where one is at hand or asked for, else by the embedder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.colour_world import ColourSegmenter, paint
from support.segment_world import PromptableColours, models_of
from support.tiny_segmenters import DETECTOR, write_folder

from pipeline.search.source_images import query_image
from pipeline.segmentation.queries import TextQuery
from pipeline.segmentation.segment import check_query, segment
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.options import LabelOptions, SegmenterOptions
from workers.models.grounded_options import list_fetched

BLUE = (60, 20, 100, 70)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the detector which is used unless another is named."""
    folder = tmp_path_factory.mktemp("cache")
    write_folder(DETECTOR, folder / DETECTOR.name)
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> UInt8Image:
    folder = tmp_path_factory.mktemp("pictures")
    paint(folder)
    return query_image(str(folder / "two.png"), Settings()).pixels


def settings_of(cache: Path, **segmenter: object) -> Settings:
    options = SegmenterOptions.model_validate({"device": "cpu", "max_area_frac": 1.0, **segmenter})
    labels = LabelOptions(names=str(cache / "labels.txt"))
    return Settings(segmenter=options, labels=labels, cache_dir=cache)


def test_a_detector_that_is_at_hand_finds_texts(cache: Path, two: UInt8Image) -> None:
    models = models_of(settings_of(cache))
    finder = models.text_finder()
    assert finder is not None
    assert finder.name == DETECTOR.name
    assert models.text_finder() is finder
    # No word of it is known to the embedder.
    query = TextQuery(("a mug", "dog"), 0.0)
    check_query(query, models)
    found = segment([two], query, models)[0]
    assert found == finder.find(two, ("a mug", "dog"), 0.0)
    assert {mask.segmenter_label for mask in found} <= {"a mug", "dog"}
    assert found
    with pytest.raises(UsageError, match="words that the detector knows, got 'green'"):
        check_query(TextQuery(("green",)), models)


def test_without_one_the_embedder_does(cache: Path, two: UInt8Image, tmp_path: Path) -> None:
    for settings in (
        settings_of(cache, detector="none"),
        settings_of(cache).model_copy(update={"cache_dir": tmp_path}),
    ):
        models = models_of(settings)
        assert models.text_finder() is None
        (found,) = segment([two], TextQuery(("blue",)), models)[0]
        assert (found.bbox_xyxy, found.segmenter_label) == (BLUE, "blue")
    # Nor where the segmenter takes no boxes, unless a detector is asked for.
    assert models_of(settings_of(cache), ColourSegmenter()).text_finder() is None
    asked = models_of(settings_of(cache, detector=DETECTOR.name), ColourSegmenter())
    with pytest.raises(UsageError, match="that takes the boxes of a detector, got squares"):
        check_query(TextQuery(("mug",)), asked)


def test_a_segmenter_of_texts_looks_for_others_too(cache: Path, two: UInt8Image) -> None:
    class Grounded(PromptableColours):
        text_finder = models_of(settings_of(cache)).text_finder()

    segmenter = Grounded()
    models = models_of(settings_of(cache, detector="none"), segmenter)
    assert models.text_finder() is segmenter.text_finder


def test_only_weights_that_are_needed_are_fetched() -> None:
    def names(*, for_texts: bool = False, **options: object) -> list[str]:
        given = SegmenterOptions.model_validate(options)
        return [entry.name for entry in list_fetched(given, for_texts=for_texts)]

    grounded = "grounded:cat"
    assert names(name=grounded) == ["sam2.1_t", "mm_grounding_dino_tiny"]
    assert names(name=grounded, mask_model="sam_demo", detector="llmdet_base") == ["llmdet_base"]
    assert names(name=grounded, checkpoint="sam.pth", detector="./mine") == []
    assert names(name="sam_vit_b") == ["sam_vit_b"]
    assert names(name="sam_vit_b", for_texts=True) == ["sam_vit_b"]
    assert names(name="sam_demo", detector="llmdet_base") == []
    assert names(name="sam_demo", detector="llmdet_base", for_texts=True) == ["llmdet_base"]
    assert names(name="sam_demo", detector="none", for_texts=True) == []
