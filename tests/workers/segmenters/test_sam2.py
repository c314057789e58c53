"""SAM 2.1 through our generator: what transformers' own model says, for every prompt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from support.tiny_segmenters import SAM2, SIDE, write_folder
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig

from schemas.images import UInt8Image
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter
from workers.segmenters.sam2_prompter import Sam2Prompter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(SAM2, tmp_path_factory.mktemp("sam2") / "tiny")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(7)
    return SAM2.make().eval().requires_grad_(False)


def noise(height: int, width: int) -> UInt8Image:
    rng = np.random.default_rng(height * 1000 + width)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy()


def ask(model: torch.nn.Module, frame: torch.Tensor, prompts: np.ndarray) -> object:
    """transformers' own answer, for prompts in pixels of the frame."""
    with torch.inference_mode():
        given = torch.tensor(prompts).float()[None]
        if prompts.shape[1] == 4:
            return model(pixel_values=frame, input_boxes=given, multimask_output=True)
        labels = torch.ones((1, len(prompts), 1), dtype=torch.int64)
        return model(
            pixel_values=frame, input_points=given[:, :, None], input_labels=labels,
            multimask_output=True,
        )  # fmt: skip


@pytest.mark.parametrize("size_hw", [(40, 70), (64, 64), (90, 33)])
def test_every_prompt_is_answered_as_by_the_model_itself(
    model: torch.nn.Module, size_hw: tuple[int, int]
) -> None:
    prompter = Sam2Prompter(model, "cpu")
    image = noise(*size_hw)
    view, other = prompter.encode([image, noise(20, 20)])
    height, width = size_hw
    points = np.random.default_rng(0).uniform(0, [width, height], (5, 2))
    boxes = np.array([[2.0, 3.0, width - 5.0, height / 2], [0.0, 0.0, width, height]])
    chosen = {2: np.ones((5, 3), np.bool_), 4: np.ones((2, 3), np.bool_)}
    for prompts in (points, boxes):
        scale = np.tile(SIDE / np.array([width, height]), prompts.shape[1] // 2)
        theirs = ask(model, prompter._frame(image), prompts * scale)
        guesses = view.guess(prompts)
        np.testing.assert_allclose(guesses.predicted_iou, theirs.iou_scores[0], atol=1e-5)
        logits = guesses.logits(chosen[prompts.shape[1]])
        torch.testing.assert_close(logits, theirs.pred_masks[0].flatten(0, 1), atol=1e-4, rtol=1e-4)
    # One mask of some prompts only.
    some = np.zeros((5, 3), np.bool_)
    some[1, 2] = some[4, 0] = True
    whole = view.guess(points).logits(np.ones((5, 3), np.bool_)).reshape(5, 3, 16, 16)
    torch.testing.assert_close(view.guess(points).logits(some), whole[torch.from_numpy(some)])
    assert not torch.equal(view.embedding, other.embedding)


def test_the_generators_masks_are_those_of_a_plain_loop(
    model: torch.nn.Module, folder: Path
) -> None:
    options = SegmenterOptions(
        name=SAM2.name, checkpoint=str(folder), device="cpu", points_per_side=5,
        pred_iou_thresh=0.0, stability_score_thresh=0.0, stability_score_offset=0.001,
        box_nms_thresh=1.0, max_area_frac=1.0, max_objects=1000,
    )  # fmt: skip
    segmenter = build_segmenter(options)
    height, width = 45, 80
    image = noise(height, width)
    (found,) = segmenter.segment([image])
    ticks = (np.arange(5) + 0.5) / 5
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    outputs = ask(model, segmenter.prompter._frame(image), points * SIDE)
    logits = outputs.pred_masks[0].flatten(0, 1)[None]
    large = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear")[0]
    masks = [mask for mask in (large > 0).numpy() if mask.any()]
    theirs = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    ours = [{"size": list(mask.rle.size_hw), "counts": mask.rle.counts} for mask in found]
    iou = coco.iou(theirs, ours, [0] * len(ours))
    assert len(found) > 10
    assert np.mean(iou.max(axis=1) >= 0.99) >= 0.99
    assert np.mean(iou.max(axis=0) >= 0.99) >= 0.99


def test_adaptive_prompts_find_what_fills_a_stretched_frame(folder: Path) -> None:
    options = SegmenterOptions(
        name=SAM2.name, checkpoint=str(folder), device="cpu", points_per_side=8,
        pred_iou_thresh=0.0, stability_score_thresh=0.0, prompts="adaptive", max_area_frac=1.0,
    )  # fmt: skip
    segmenter = build_segmenter(options)
    for size_hw in [(30, 90), (90, 30)]:
        (found,) = segmenter.segment([noise(*size_hw)])
        assert found
        assert segmenter.segment([noise(*size_hw)]) == [found]


def test_configs_of_the_video_model_are_read(folder: Path, tmp_path: Path) -> None:
    """The hub's are of it; the image model is a part."""
    plain = json.loads((folder / "config.json").read_text())
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    config = Sam2VideoConfig(**{part: plain[part] for part in parts}, image_size=SIDE)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    options = SegmenterOptions(name=SAM2.name, device="cpu", points_per_side=2)
    of = {path: options.model_copy(update={"checkpoint": str(path)}) for path in (tmp_path, folder)}
    prompters = [build_segmenter(chosen).prompter for chosen in of.values()]
    image, point = noise(30, 40), np.array([[9.0, 9.0]])
    ours, theirs = (prompter.encode([image])[0].guess(point) for prompter in prompters)
    np.testing.assert_array_equal(ours.predicted_iou, theirs.predicted_iou)


def test_bfloat16_is_close(model: torch.nn.Module) -> None:
    torch.manual_seed(7)
    low = Sam2Prompter(SAM2.make(), "cpu", torch.bfloat16)
    image, points = noise(50, 60), np.array([[9.0, 9.0], [40.0, 30.0]])
    exact = Sam2Prompter(model, "cpu").encode([image])[0].guess(points).predicted_iou
    guesses = low.encode([image])[0].guess(points)
    np.testing.assert_allclose(guesses.predicted_iou, exact, atol=0.05)
    assert guesses.logits(np.ones((2, 3), np.bool_)).dtype == torch.float32
