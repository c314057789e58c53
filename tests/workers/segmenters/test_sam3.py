"""SAM 3 where the user has its weights: its own masks for texts, as transformers reads them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from rich.console import Console
from safetensors.torch import load_file, save_file
from support.tiny_segmenters import SAM3, write_folder, write_letters
from transformers.models.clip.tokenization_clip import CLIPTokenizer
from transformers.models.sam3.image_processing_sam3 import Sam3ImageProcessor
from transformers.models.sam3_video.configuration_sam3_video import Sam3VideoConfig

from pipeline.cli.weights import fetch_model
from schemas.errors import ModelError, UsageError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter, check_segmenter
from workers.segmenter_protocols import Segmenter, TextSegmenter

TEXTS = ("a mug", "dog")
ASKED = "the weights of sam3 are given on request, under the SAM License: get the files of facebook"


def noise(height: int, width: int) -> UInt8Image:
    rng = np.random.default_rng(height * 1000 + width)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(SAM3, tmp_path_factory.mktemp("sam3") / "tiny")
    write_letters(folder)
    return folder


def build(folder: Path, **changes: object) -> Segmenter:
    given = {
        "name": "sam3:a mug,dog", "checkpoint": str(folder), "device": "cpu", "score_thresh": 0.0,
        "max_area_frac": 1.0,
    }  # fmt: skip
    return build_segmenter(SegmenterOptions.model_validate({**given, **changes}))


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Segmenter:
    return build(folder)


def test_masks_and_scores_are_those_of_transformers(folder: Path, segmenter: Segmenter) -> None:
    image = noise(90, 140)
    assert isinstance(segmenter, TextSegmenter)
    finder = segmenter.text_finder
    (place,) = finder._preparation.place((90, 140))
    frame = finder._preparation.make_frames(image, [place], torch.device("cpu"))
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt", padding="max_length", max_length=32)
        with torch.inference_mode():
            outputs = finder._model(pixel_values=frame, **tokens)
        (theirs,) = Sam3ImageProcessor().post_process_instance_segmentation(
            outputs, threshold=0.0, target_sizes=[(90, 140)]
        )
        large = torch.nn.functional.interpolate(outputs.pred_masks, (90, 140), mode="bilinear")
        order = theirs["scores"].sort(descending=True).indices
        found = finder.find(image, [text])
        assert len(found) == len(order) == 10
        assert [mask.segmenter_label for mask in found] == [text] * 10
        np.testing.assert_allclose(
            [mask.segmenter_score for mask in found], theirs["scores"][order], rtol=0, atol=1e-6
        )
        assert min(overlaps(found, large[0][order] > 0)) > 0.999
        # It interpolates probabilities, which moves the borders of noise.
        assert min(overlaps(found, theirs["masks"][order])) > 0.85


def overlaps(found: list[ObjectMask], masks: torch.Tensor) -> list[float]:
    """The IoU of each object with the mask of its place: bool (n, height, width)."""
    ours = [{"size": mask.rle.size_hw, "counts": mask.rle.counts} for mask in found]
    wanted = [coco.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in masks]
    pairs: list[float] = np.diag(coco.iou(wanted, ours, [0] * len(ours))).tolist()
    return pairs


def test_objects_of_all_texts(segmenter: Segmenter, folder: Path) -> None:
    image = noise(64, 64)
    assert isinstance(segmenter, TextSegmenter)
    found = segmenter.text_finder.find(image, TEXTS)
    scores = [mask.segmenter_score or 0.0 for mask in found]
    assert scores == sorted(scores, reverse=True)
    assert {mask.segmenter_label for mask in found} == set(TEXTS)
    (objects,) = segmenter.segment([image])
    assert {mask.rle for mask in objects} == {mask.rle for mask in found}
    sure = segmenter.text_finder.find(image, TEXTS, scores[2])
    assert [mask.segmenter_score for mask in sure] == scores[:3]
    assert build(folder, max_objects=2).segment([image])[0] == sorted(
        found[:2], key=lambda mask: -mask.area_px
    )
    assert build(folder, name="sam3:dog").fingerprint != segmenter.fingerprint
    with pytest.raises(UsageError, match="text of at most 32 tokens, got 42"):
        segmenter.text_finder.check(["x" * 40])


def test_files_of_the_video_model_are_read(
    folder: Path, segmenter: Segmenter, tmp_path: Path
) -> None:
    """As they are given out: the image model is a part, the tracker another."""
    plain = json.loads((folder / "config.json").read_text())
    config = Sam3VideoConfig(detector_config=plain).to_dict()
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    prefixed = {f"detector_model.{name}": value for name, value in tensors.items()}
    prefixed["tracker_model.weight"] = torch.zeros(3)
    save_file(prefixed, tmp_path / "model.safetensors")
    options = SegmenterOptions(name="sam3:mug", checkpoint=str(tmp_path), device="cpu")
    for attempt in (lambda: check_segmenter(options), lambda: build_segmenter(options)):
        with pytest.raises(ModelError, match=r"expected tokenizer\.json or vocab\.txt in"):
            attempt()
    write_letters(tmp_path)
    check_segmenter(options)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SAM3.preparation))
    image = noise(40, 50)
    assert build(tmp_path).segment([image]) == segmenter.segment([image])


def test_its_weights_are_never_fetched(tmp_path: Path) -> None:
    options = SegmenterOptions(name="sam3:mug", device="cpu")
    for attempt in (
        lambda: check_segmenter(options),
        lambda: build_segmenter(options, tmp_path),
        lambda: fetch_model("sam3", tmp_path, Console(file=io.StringIO())),
    ):
        with pytest.raises(UsageError, match=ASKED):
            attempt()
    with pytest.raises(UsageError, match="as in 'sam3:a red mug,a plate', got 'sam3'"):
        check_segmenter(SegmenterOptions(name="sam3", checkpoint=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
