"""Prompts of an image: held against segment-anything's own predictor, and on a real scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import SamPredictor
from support.colour_prompter import SHA
from support.tiny_sam import make_noise, make_tiny_sam

from pipeline.demo.scenes import Scene, compose
from pipeline.demo.sprites import bundled_sprites
from pipeline.evaluation.clicks import Click, correct
from schemas.errors import ModelError, UsageError
from schemas.masks import BoolMask, CocoRle, ObjectMask
from schemas.options import RefinerName, SegmenterOptions
from schemas.overlaps import mask_iou
from workers.models import catalog
from workers.models.sam_demo_architecture import build_sam_demo
from workers.models.weights import fill, read_weights
from workers.refiners.innermost import find_innermost
from workers.registry import build_segmenter
from workers.segmenter_protocols import PromptableSegmenter, PromptedMask, Segmenter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.prompt_parts import MASK_CHANNELS, PromptParts
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.sam_demo import PROMPTS_FILE
from workers.segmenters.sam_prompter import SamPrompter

OPTIONS = SegmenterOptions(device="cpu", precision="fp32")
DEMO = OPTIONS.model_copy(update={"name": "sam_demo"})
LOW = 16
EARLIER = np.random.default_rng(1).normal(0, 4, (LOW, LOW)).astype(np.float32)
PROMPTS: list[dict[str, Any]] = [
    {"points_xy": [(30, 20)], "labels": [1]},
    {"points_xy": [(30, 20), (70.5, 11)], "labels": [1, 0]},
    {"box_xyxy": (5, 6, 60, 33)},
    {"box_xyxy": (0, 0, 91, 37), "points_xy": [(9, 9)], "labels": [0]},
    {"points_xy": [(30, 20)], "labels": [1], "mask_input": EARLIER},
    {"points_xy": [(30, 20), (3, 3)], "labels": [1, 1], "mask_input": EARLIER},
    {"mask_input": EARLIER},
]


def tiny_segmenter(**changes: object) -> PromptableGridSegmenter:
    prompter = SamPrompter(make_tiny_sam(), "cpu")
    options = OPTIONS.model_copy(update=changes)
    return PromptableGridSegmenter(prompter, weights_sha256=SHA, options=options)


def ask_package(predictor: SamPredictor, prompt: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """The predictor's best mask: of three for one click, of the only one for other prompts."""
    points, labels = prompt.get("points_xy"), prompt.get("labels")
    box, earlier = prompt.get("box_xyxy"), prompt.get("mask_input")
    masks, scores, logits = predictor.predict(
        point_coords=None if points is None else np.array(points, np.float64),
        point_labels=None if labels is None else np.array(labels),
        box=None if box is None else np.array(box, np.float64),
        mask_input=None if earlier is None else earlier[None],
        multimask_output=labels == [1] and box is None and earlier is None,
    )
    best = scores.argmax()
    return masks[best], scores[best], logits[best]


def pixels_of(answer: PromptedMask, like: BoolMask) -> BoolMask:
    return np.zeros_like(like) if answer.mask is None else answer.mask.rle.decode()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_packages_predictor_gives_the_same_mask(prompt: dict[str, Any]) -> None:
    image = make_noise(37, 91)
    predictor = SamPredictor(make_tiny_sam())
    predictor.set_image(image)
    mask, score, logits = ask_package(predictor, prompt)
    answer = tiny_segmenter().open_image(image).predict(**prompt)
    assert answer.logits.dtype == np.float32
    np.testing.assert_allclose(answer.logits, logits, atol=1e-5)
    ours = pixels_of(answer, mask)
    assert (ours != mask).mean() < 0.002  # where a logit is 0 but for rounding
    if answer.mask is not None:
        assert answer.mask.predicted_iou == pytest.approx(score, abs=1e-5)
        assert answer.mask.area_px == ours.sum()


def test_a_prompt_is_of_its_image() -> None:
    session = tiny_segmenter().open_image(make_noise(37, 91))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "expected a point, a box or a mask to prompt with, got none of them"),
        ({"points_xy": [(1, 2)]}, "expected a label for each point, got 0 for 1 points"),
        (
            {"points_xy": [(91, 2)], "labels": [1]},
            "expected a point within the image's 91 x 37 pixels, got 91,2",
        ),
        (
            {"points_xy": [(1, 2)], "labels": [2]},
            "expected a point's label to be 0 or 1, got 2",
        ),
        (
            {"box_xyxy": (4, 4, 4, 9)},
            "expected a box x0,y0,x1,y1 within the image's 91 x 37 pixels, got 4,4,4,9",
        ),
        (
            {"mask_input": np.zeros((1, LOW, LOW), np.float32)},
            "expected a mask of 16 x 16 logits, got one of shape (1, 16, 16)",
        ),
    ]
    for prompt, sentence in wrong:
        with pytest.raises(UsageError) as caught:
            session.predict(**prompt)
        assert str(caught.value) == sentence


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_small_images_are_padded(size_hw: tuple[int, int]) -> None:
    image = make_noise(*size_hw)
    session = tiny_segmenter(crop_n_layers=1).open_image(image)
    for prompt in ({"points_xy": [(0, 0)], "labels": [1]}, {"mask_input": EARLIER}):
        answer = session.predict(**prompt)
        assert answer.logits.shape == (LOW, LOW)
        if answer.mask is not None:
            assert answer.mask.rle.size_hw == size_hw


def test_the_point_of_a_mask_lies_where_it_was_prompted() -> None:
    session = tiny_segmenter().open_image(make_noise(37, 91))
    places = {
        (7.0, 9.0): {"points_xy": [(7, 9), (1, 1)], "labels": [1, 0]},
        (40.0, 15.0): {"box_xyxy": (20, 10, 60, 20)},
    }
    for place, prompt in places.items():
        mask = session.predict(**prompt).mask
        assert mask is not None
        assert mask.point_xy == place


@pytest.fixture(scope="module")
def demo() -> Segmenter:
    return build_segmenter(DEMO)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Nine objects of many sizes."""
    return compose(np.random.default_rng(30), bundled_sprites())


def test_what_answers_prompts_is_no_part_of_the_pipeline(demo: Segmenter) -> None:
    assert isinstance(demo, PromptableSegmenter)
    sam = build_sam_demo()
    fill(sam, read_weights(catalog.bundled_path(catalog.find("sam_demo"))), "sam_demo")
    assert isinstance(demo, GridSegmenter)
    plain = GridSegmenter(
        SamPrompter(sam, "cpu"),
        weights_sha256=demo.weights_sha256,
        options=DEMO,
        defaults=demo.parameters,
        default_prompts="grid",
    )
    grid = build_segmenter(DEMO.model_copy(update={"prompts": "grid"}))
    assert grid.fingerprint == plain.fingerprint


def test_the_predictor_with_the_demos_two_files_gives_the_same_mask(scene: Scene) -> None:
    folder = catalog.bundled_path(catalog.find("sam_demo")).parent
    encoder = read_weights(folder / "sam_demo.safetensors")
    weights = {k: v for k, v in encoder.items() if not k.startswith(("prompt_", "mask_"))}
    model = build_sam_demo(MASK_CHANNELS)
    fill(model, weights | read_weights(folder / PROMPTS_FILE), "sam_demo")
    predictor = SamPredictor(model.eval())
    predictor.set_image(scene.image)
    segmenter = build_segmenter(DEMO.model_copy(update={"refine": ()}))
    assert isinstance(segmenter, PromptableGridSegmenter)
    segmenter.zoom = None  # which the predictor does not know
    session = segmenter.open_image(scene.image)
    prompt: dict[str, Any] = {"points_xy": [find_innermost(scene.objects[4].mask)], "labels": [1]}
    for _ in range(3):
        mask, _, logits = ask_package(predictor, prompt)
        answer = session.predict(**prompt)
        assert 100 < mask.sum() < 20_000
        assert (pixels_of(answer, mask) != mask).mean() < 1e-4
        prompt = {
            "points_xy": [*prompt["points_xy"], (600.0, 20.0)],
            "labels": [*prompt["labels"], 0],
            "mask_input": logits,
        }


def test_demo_weights_of_ones_own_answer_prompts_themselves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_sam_demo()
    path = tmp_path / "own.safetensors"
    save_file(model.state_dict(), path)
    segmenter = build_segmenter(DEMO.model_copy(update={"checkpoint": str(path)}))
    assert isinstance(segmenter, PromptableGridSegmenter)
    prompter = segmenter.prompter
    assert isinstance(prompter, SamPrompter)
    weight = prompter.parts.mask_decoder.iou_token.weight
    torch.testing.assert_close(weight, model.mask_decoder.iou_token.weight)


def test_other_weights_are_no_decoder_for_prompts() -> None:
    whole = catalog.bundled_path(catalog.find("sam_demo"))
    with pytest.raises(ModelError, match="sam_demo's decoder for prompts"):
        PromptParts.load_demo(whole, "cpu")


def iou(answer: PromptedMask, truth: BoolMask) -> float:
    if answer.mask is None:
        return 0.0
    return float(mask_iou([answer.mask.rle], [CocoRle.from_mask(truth)])[0, 0])


@pytest.mark.long
@pytest.mark.parametrize("refine", [(), None])
def test_corrections_make_masks_better(
    refine: tuple[RefinerName, ...] | None, scene: Scene
) -> None:
    segmenter = build_segmenter(DEMO.model_copy(update={"refine": refine}))
    assert isinstance(segmenter, PromptableGridSegmenter)
    session = segmenter.open_image(scene.image)
    obeyed: dict[bool, list[bool]] = {True: [], False: []}
    ious: list[list[float]] = []
    for item in scene.objects:
        truth = item.mask
        points, labels = [find_innermost(truth)], [1]
        answer = session.predict(points, labels)
        ious.append([iou(answer, truth)])
        for _ in range(2):
            if click := correct(pixels_of(answer, truth), truth):
                points.append(click.point_xy)
                labels.append(int(click.on_object))
                answer = session.predict(points, labels, mask_input=answer.logits)
                obeyed[click.on_object].append(obeys(answer, click, truth))
            ious[-1].append(iou(answer, truth))
    assert min(map(len, obeyed.values())) >= 5
    assert np.mean(obeyed[True]) >= 0.8
    assert np.mean(obeyed[False]) >= 0.25  # errors are mostly thin rims
    if refine is None:
        assert np.mean(obeyed[True] + obeyed[False]) >= 0.95
    before, after, at_last = np.mean(ious, axis=0)
    assert before < after < at_last


def obeys(answer: PromptedMask, click: Click, like: BoolMask) -> bool:
    x, y = (int(side) for side in click.point_xy)
    return bool(pixels_of(answer, like)[y, x]) == click.on_object


@pytest.mark.long
def test_a_mask_that_is_fed_back_with_its_own_click_stays(demo: Segmenter, scene: Scene) -> None:
    assert isinstance(demo, PromptableSegmenter)
    session = demo.open_image(scene.image)
    alike, before, after = [], [], []
    for item in scene.objects:
        point = find_innermost(item.mask)
        first = session.predict([point], [1])
        again = session.predict([point], [1], mask_input=first.logits)
        alike.append(iou(again, pixels_of(first, item.mask)))
        before.append(iou(first, item.mask))
        after.append(iou(again, item.mask))
    assert np.median(alike) > 0.95
    assert np.mean(after) >= np.mean(before) > 0.9


def make_rectangle(box: tuple[int, int, int, int], predicted_iou: float) -> ObjectMask:
    mask = np.zeros((37, 91), np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    measured = ObjectMask.measure(CocoRle.from_mask(mask), predicted_iou=predicted_iou)
    assert measured is not None
    return measured


@pytest.mark.parametrize("surer", [0.1, -0.1])
def test_an_unsure_answer_to_a_box_gives_way_to_a_surer_mask_of_the_image(surer: float) -> None:
    image, box = make_noise(37, 91), (20.0, 5.0, 80.0, 30.0)
    own = tiny_segmenter().open_image(image).predict(box_xyxy=box).mask
    assert own is not None
    within = make_rectangle((25, 6, 78, 29), own.sureness + surer)
    elsewhere = make_rectangle((0, 0, 12, 37), 1.0)
    segmenter = tiny_segmenter()
    segmenter.segment = lambda images: [[elsewhere, within]]  # type: ignore[method-assign]
    segmenter.sure_of_boxes = own.sureness + 0.01
    session = segmenter.open_image(image)
    answer = session.predict(box_xyxy=box)
    if surer > 0:
        assert answer.mask == within
        np.testing.assert_array_equal(answer.logits, session.frame_mask(within.rle.decode()))
    else:
        assert answer.mask == own
    clicked = session.predict([(40, 20)], [1], box)
    assert clicked.mask == tiny_segmenter().open_image(image).predict([(40, 20)], [1], box).mask
    segmenter.sure_of_boxes = own.sureness
    assert segmenter.open_image(image).predict(box_xyxy=box).mask == own
