"""Refined segmenters: every mask is refined, whatever it was found by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.tiny_sam import make_noise, make_tiny_sam

from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import RefinerOptions, SegmenterOptions, TidyOptions
from workers.refiners.chain import RefiningChain
from workers.refiners.edges import refine_edges
from workers.registry import build_segmenter
from workers.segmenter_protocols import (
    BoxMasker,
    BoxSegmenter,
    ImageRefiner,
    PromptableSegmenter,
    TextSegmenter,
)
from workers.segmenters.fixed_texts import FixedTextSegmenter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.refined_segmenter import refine_segmenter
from workers.segmenters.sam_prompter import SamPrompter

OPTIONS = SegmenterOptions(
    device="cpu",
    precision="fp32",
    points_per_side=4,
    crop_n_layers=0,
    pred_iou_thresh=0,
    stability_score_thresh=0,
)


class Clearing:
    """A refiner that leaves the right half of a mask, or as much of it as there is."""

    name = "clearing"
    fingerprint = "clearing 1"

    def open_image(self, image: UInt8Image) -> ImageRefiner:
        return self

    def refine(self, masks: Sequence[CocoRle]) -> list[CocoRle]:
        return [self._clear(rle) for rle in masks]

    def _clear(self, rle: CocoRle) -> CocoRle:
        pixels = rle.decode()
        pixels[:, : pixels.shape[1] // 2] = False
        return CocoRle.from_mask(pixels)


def tiny_segmenter() -> PromptableGridSegmenter:
    prompter = SamPrompter(make_tiny_sam(), "cpu")
    return PromptableGridSegmenter(prompter, weights_sha256="0" * 64, options=OPTIONS)


def clear(mask: ObjectMask, image: UInt8Image) -> ObjectMask:
    return RefiningChain.open_image(image, [Clearing()]).refine([mask])[0]


def test_every_mask_is_refined_whatever_it_was_found_by() -> None:
    plain = tiny_segmenter()
    refined = refine_segmenter(plain, [Clearing()])
    assert isinstance(refined, PromptableSegmenter)
    assert isinstance(refined, BoxSegmenter)
    image = make_noise(37, 91)
    found = plain.segment([image])[0]
    assert found
    wanted = sorted((clear(mask, image) for mask in found), key=lambda mask: -mask.area_px)
    assert refined.segment([image])[0] == wanted
    point = (60.0, 20.0)
    at_point = plain.segment_at(image, point)
    assert at_point is not None
    assert refined.segment_at(image, point) == clear(at_point, image)
    box = (30.0, 5.0, 80.0, 30.0)
    boxed = plain.segment_with_boxes([image], [[box]])[0]
    assert {mask.rle for mask in refined.segment_with_boxes([image], [[box]])[0]} == {
        clear(mask, image).rle for mask in boxed
    }
    answer, finer = (one.open_image(image).predict(box_xyxy=box) for one in (plain, refined))
    assert answer.mask is not None
    assert finer.mask == clear(answer.mask, image)
    np.testing.assert_array_equal(finer.logits, answer.logits)


@pytest.mark.parametrize("kind", [GridSegmenter, PromptableGridSegmenter])
def test_the_masks_of_boxes_are_refined(kind: type[GridSegmenter]) -> None:
    prompter = SamPrompter(make_tiny_sam(), "cpu")
    plain = kind(prompter, weights_sha256="0" * 64, options=OPTIONS)
    refined = refine_segmenter(plain, [Clearing()])
    assert isinstance(refined, BoxMasker)
    assert isinstance(refined, PromptableSegmenter) == isinstance(plain, PromptableSegmenter)
    image, boxes = make_noise(37, 91), [(30.0, 5.0, 80.0, 30.0), (50.0, 2.0, 90.0, 36.0)]
    masks = plain.mask_boxes(image, boxes)
    assert len(masks) == 2
    assert refined.mask_boxes(image, boxes) == [mask and clear(mask, image) for mask in masks]


class WholeImage:
    """Finds the whole image for each text, but for one."""

    name = "whole"

    def check(self, texts: Sequence[str]) -> None:
        if "?" in texts:
            raise UsageError("expected a text")

    def find(
        self, image: UInt8Image, texts: Sequence[str], least: float | None = None
    ) -> list[ObjectMask]:
        mask = ObjectMask.measure(CocoRle.from_mask(np.ones(image.shape[:2], np.bool_)))
        assert mask is not None
        return [replace(mask, segmenter_label=text, segmenter_score=least) for text in texts]


def test_what_is_found_for_texts_is_refined() -> None:
    finder, image = WholeImage(), make_noise(20, 30)
    refined = refine_segmenter(FixedTextSegmenter(finder, ["mug"], OPTIONS, {}), [Clearing()])
    assert isinstance(refined, TextSegmenter)
    assert refined.text_finder.name == "whole"
    assert refined.text_finder.find(image, ["a", "b"], 0.5) == [
        clear(mask, image) for mask in finder.find(image, ["a", "b"], 0.5)
    ]
    with pytest.raises(UsageError):
        refined.text_finder.check(["?"])


def test_a_mask_of_which_nothing_would_be_left_stays() -> None:
    pixels = np.zeros((8, 20), np.bool_)
    pixels[2:5, 3:7] = True
    mask = ObjectMask.measure(CocoRle.from_mask(pixels))
    assert mask is not None
    assert clear(mask, np.zeros((8, 20, 3), np.uint8)) == mask


def test_what_refines_is_in_the_fingerprint() -> None:
    plain = tiny_segmenter()
    once = refine_segmenter(plain, [Clearing()])
    twice = refine_segmenter(plain, [Clearing(), Clearing()])
    assert len({plain.fingerprint, once.fingerprint, twice.fingerprint}) == 3
    assert refine_segmenter(plain, []) is plain


@pytest.mark.parametrize("name", ["grid", "sam_demo"])
def test_a_segmenter_is_built_with_its_refiners(name: str) -> None:
    options = SegmenterOptions(name=name, device="cpu", tiles_per_side=2)
    plain = build_segmenter(options.model_copy(update={"refine": ()}))
    default = build_segmenter(options)
    refined = build_segmenter(options.model_copy(update={"refine": ("edges",)}))
    assert default.fingerprint == plain.fingerprint != refined.fingerprint
    assert isinstance(refined, PromptableSegmenter) == isinstance(plain, PromptableSegmenter)
    assert refined.name == plain.name


def test_options_of_refiners_are_in_the_fingerprint_where_they_are_used() -> None:
    smooth = RefinerOptions(tidy=TidyOptions(smooth_px=2))
    prints = {
        (refine, number): build_segmenter(
            SegmenterOptions(name="grid", device="cpu", refine=refine, refiners=options)
        ).fingerprint
        for refine in (None, ("edges",), ("tidy",))
        for number, options in enumerate((RefinerOptions(), smooth))
    }
    assert prints[None, 0] == prints[None, 1]
    assert prints[("edges",), 0] == prints[("edges",), 1]
    assert len(set(prints.values())) == 4


def test_the_demos_answers_to_prompts_are_refined_unless_the_options_say() -> None:
    scene = compose(np.random.default_rng(4), bundled_sprites())
    x0, y0, x1, y1 = CocoRle.from_mask(scene.objects[0].mask).bbox_xyxy
    answers = {}
    for refine in (None, (), ("edges",)):
        options = SegmenterOptions(
            device="cpu", precision="fp32", points_per_side=4, crop_n_layers=0, refine=refine
        )
        segmenter = build_segmenter(options)
        assert isinstance(segmenter, PromptableSegmenter)
        answer = segmenter.open_image(scene.image).predict(box_xyxy=(x0, y0, x1, y1))
        assert answer.mask is not None
        answers[refine] = answer.mask
    assert answers[None].rle == refine_edges(scene.image, answers[()].rle) != answers[()].rle
    assert answers[("edges",)].rle == answers[None].rle
