"""Texts to boxes to masks: a detector's boxes are transformers' own, and a SAM fills them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_segmenters import DETECTOR, SAM2, WORDS, write_folder, write_vocabulary
from transformers.models.bert.tokenization_bert import BertTokenizer
from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor
from transformers.models.mm_grounding_dino.modeling_mm_grounding_dino import (
    MMGroundingDinoObjectDetectionOutput,
)

from schemas.boxes import BoxXyxy
from schemas.errors import ModelError, UnknownModelError, UsageError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter, check_segmenter
from workers.segmenter_protocols import BoxMasker, TextSegmenter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.grounded import Grounding, build_from
from workers.segmenters.heads.grounding import read_text_boxes
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.text_detector import TextDetector, load_detector
from workers.segmenters.text_tokens import TextTokens

TEXTS = ("mug", "dog", "plate")  # of a token each
PHRASES = ("a red mug", "small dogs", "plate")


def noise(height: int, width: int) -> UInt8Image:
    rng = np.random.default_rng(height * 1000 + width)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(DETECTOR, tmp_path_factory.mktemp("detector") / "tiny")


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(SAM2, tmp_path_factory.mktemp("sam") / "tiny")


@pytest.fixture(scope="module")
def detector(folder: Path) -> TextDetector:
    return load_detector(SegmenterOptions(detector=str(folder), device="cpu"))


@pytest.fixture(scope="module")
def processor(folder: Path) -> GroundingDinoProcessor:
    tokenizer = BertTokenizer.from_pretrained(str(folder), local_files_only=True)
    processor = GroundingDinoProcessor.__new__(GroundingDinoProcessor)  # without pictures
    processor.tokenizer = tokenizer
    return processor


def options_of(folder: Path, sam: Path, **changes: object) -> SegmenterOptions:
    given = {
        "name": "grounded:a red mug,dog", "detector": str(folder), "mask_model": "sam2.1_t",
        "checkpoint": str(sam), "device": "cpu", "score_thresh": 0.0, "max_area_frac": 1.0,
    }  # fmt: skip
    return SegmenterOptions.model_validate({**given, **changes})


def outputs(queries: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    logits = torch.full((queries, 256), -torch.inf)
    logits[:, :tokens] = torch.randn(queries, tokens) * 3
    # Whatever they say of the stops between texts.
    logits[:, [0, tokens - 1, *range(2, tokens, 2)]] = -9.0
    return logits, torch.rand(queries, 4) * torch.tensor([1, 1, 0.2, 0.2])


def test_boxes_scores_and_texts_are_those_of_transformers(
    folder: Path, processor: GroundingDinoProcessor
) -> None:
    (part,) = TextTokens(folder, 256).split(TEXTS)
    logits, boxes = outputs(40, len(part.token_ids))
    found = read_text_boxes(logits, boxes, part.spans, (480, 640), 0.8)
    (theirs,) = processor.post_process_grounded_object_detection(
        MMGroundingDinoObjectDetectionOutput(logits=logits[None], pred_boxes=boxes[None]),
        input_ids=torch.tensor([part.token_ids]),
        threshold=0.8,
        text_threshold=0.8,
        target_sizes=[(480, 640)],
    )
    assert 5 < len(found.boxes) < 40
    cut = torch.minimum(theirs["boxes"].clamp(min=0), torch.tensor([640.0, 480.0, 640.0, 480.0]))
    assert torch.allclose(found.boxes, cut, atol=1e-4)
    assert torch.equal(found.scores, theirs["scores"])
    for number, said in zip(found.texts.tolist(), theirs["text_labels"], strict=True):
        assert TEXTS[number] in said.split()


def test_a_text_is_as_likely_as_its_tokens_on_average(folder: Path) -> None:
    (part,) = TextTokens(folder, 256).split(PHRASES)
    assert part.spans == ((1, 4), (5, 8), (9, 10))
    logits, boxes = outputs(30, len(part.token_ids))
    logits[:, :11] = torch.randn(30, 11)
    found = read_text_boxes(logits, boxes, part.spans, (100, 200), 0.0)
    for query in range(30):
        likely = [
            np.mean([1 / (1 + np.exp(-logits[query, token].item())) for token in range(*span)])
            for span in part.spans
        ]
        assert found.texts[query] == np.argmax(likely)
        assert found.scores[query].item() == pytest.approx(max(likely), abs=1e-6)


def test_boxes_are_cut_to_the_image_and_empty_ones_dropped() -> None:
    boxes = torch.tensor(
        [[0.5, 0.5, 2.0, 0.5], [0.0, 0.0, 0.5, 0.5], [1.2, 0.5, 0.1, 0.1], [0.5, 0.5, 0.0, 0.5]]
    )
    found = read_text_boxes(torch.zeros(4, 3), boxes, [(1, 2)], (40, 100), 0.5)
    assert found.boxes.tolist() == [[0, 10, 100, 30], [0, 0, 25, 10]]
    assert found.scores.tolist() == [0.5, 0.5]


def test_tokens_are_those_of_the_processor(
    folder: Path, processor: GroundingDinoProcessor, tmp_path: Path
) -> None:
    texts = [" A red MUG", "dogs", "zebra cat, small"]
    (part,) = TextTokens(folder, 256).split(texts)
    theirs = processor.tokenizer(processor._preprocess_input_text(texts))["input_ids"]
    assert list(part.token_ids) == theirs
    named = [processor.tokenizer.decode(part.token_ids[slice(*span)]) for span in part.spans]
    assert named == ["a red mug", "dogs", "[UNK] cat, small"]
    # As newer repositories have it.
    processor.tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert TextTokens(tmp_path, 256).split(texts) == [part]


def test_what_would_end_a_text_is_left_out_of_it(folder: Path) -> None:
    tokens = TextTokens(folder, 256)
    (odd,) = tokens.split(["a. red? mug [SEP]", "cat."])
    (plain,) = tokens.split(["a red mug sep", "cat"])
    assert odd == plain
    for nothing in ("...", "zebra", ""):
        with pytest.raises(UsageError, match="words that the detector knows"):
            tokens.split(["cat", nothing])


def test_texts_that_do_not_fit_are_read_in_several_passes(folder: Path) -> None:
    texts = ["a red mug", "cat", "small dogs", "plate", "dog", "a plate"]
    passes = TextTokens(folder, 11).split(texts)
    assert [part.texts for part in passes] == [(0, 1), (2, 3, 4), (5,)]
    assert max(len(part.token_ids) for part in passes) <= 11
    with pytest.raises(UsageError, match="text of at most 8 tokens, got 10 in 'red red red"):
        TextTokens(folder, 11).split(["cat", "red " * 10])


def test_an_image_shows_what_the_model_says_of_it(
    detector: TextDetector, processor: GroundingDinoProcessor
) -> None:
    image = noise(90, 140)
    found = detector.find(image, TEXTS, 0.0)
    ids = processor.tokenizer(processor._preprocess_input_text(list(TEXTS)))["input_ids"]
    frame, mask = detector._frame(image)
    with torch.inference_mode():
        said = detector._model(pixel_values=frame, pixel_mask=mask, input_ids=torch.tensor([ids]))
    probabilities = said.logits[0, :, [1, 3, 5]].sigmoid()
    order = probabilities.max(dim=1).values.sort(descending=True, stable=True).indices
    assert len(found.boxes) == len(order) == 12
    assert torch.equal(found.scores, probabilities.max(dim=1).values[order])
    assert torch.equal(found.texts, probabilities.argmax(dim=1)[order])
    assert len(set(found.texts.tolist())) > 1


def test_several_passes_find_what_each_finds_alone(folder: Path, detector: TextDetector) -> None:
    """Texts that fit together are read together: they compete for the model's queries."""
    image = noise(70, 70)
    detector_of_few = load_detector(SegmenterOptions(detector=str(folder), device="cpu"))
    detector_of_few._tokens = TextTokens(folder, 8)
    assert [part.texts for part in detector_of_few._tokens.split(TEXTS)] == [(0, 1, 2)]
    together, same = detector.find(image, TEXTS, 0.0), detector_of_few.find(image, TEXTS, 0.0)
    assert torch.equal(together.scores, same.scores)
    detector_of_few._tokens = TextTokens(folder, 6)
    split = detector_of_few.find(image, TEXTS, 0.0)
    alone = [detector.find(image, texts, 0.0) for texts in (TEXTS[:2], TEXTS[2:])]
    assert len(split.scores) == 24
    assert split.scores.tolist() == sorted(
        [score for part in alone for score in part.scores.tolist()], reverse=True
    )
    of_last = split.boxes[split.texts == 2]
    assert torch.equal(of_last, alone[1].boxes)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 200), (300, 2)])
def test_threads_of_pixels_are_images_too(detector: TextDetector, size_hw: tuple[int, int]) -> None:
    boxes = detector.find(noise(*size_hw), TEXTS, 0.0).boxes
    assert torch.isfinite(boxes).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor(size_hw[::-1])).all()


def test_objects_are_the_sams_masks_of_the_boxes(folder: Path, sam: Path) -> None:
    image = noise(90, 140)
    segmenter = build_segmenter(options_of(folder, sam))
    assert isinstance(segmenter, TextSegmenter)
    found = segmenter.text_finder.find(image, ("a red mug", "dog"))
    assert found
    scores = [mask.segmenter_score for mask in found]
    assert scores == sorted(scores, reverse=True)
    grounding = segmenter.text_finder
    assert isinstance(grounding, Grounding)
    boxes = grounding.detector.find(image, ("a red mug", "dog"), 0.0)
    masks = grounding.masks.mask_boxes(image, [tuple(box) for box in boxes.boxes.tolist()])
    expected: dict[CocoRle, tuple[str, float]] = {}
    for mask, number, score in zip(masks, boxes.texts, boxes.scores.tolist(), strict=True):
        if mask is not None:
            expected.setdefault(mask.rle, (("a red mug", "dog")[number], score))
    assert {m.rle: (m.segmenter_label, m.segmenter_score) for m in found} == expected
    (objects,) = segmenter.segment([image])
    assert sorted(m.rle.counts for m in objects) == sorted(m.rle.counts for m in found)
    assert [m.area_px for m in objects] == sorted((m.area_px for m in found), reverse=True)
    assert segmenter.segment_at(image, (3.0, 4.0)) == next(
        (m for m in reversed(objects) if m.rle.decode()[4, 3]), None
    )
    fewer = replace(grounding, options=options_of(folder, sam, max_objects=2))
    assert fewer.find(image, ("a red mug", "dog")) == found[:2]
    least = scores[1]
    sure = segmenter.text_finder.find(image, ("a red mug", "dog"), least)
    assert [m.segmenter_score for m in sure] == [s for s in scores if s >= least]


def test_boxes_of_a_sam_are_filled_and_nothing_else(sam: Path) -> None:
    image = noise(60, 80)
    boxes = [(5.0, 5.0, 40.0, 50.0), (1.0, 2.0, 79.0, 59.0), (5.0, 5.0, 40.0, 50.0)]
    options = SegmenterOptions(name="sam2.1_t", checkpoint=str(sam), device="cpu")
    segmenter = build_segmenter(options)
    assert isinstance(segmenter, BoxMasker)
    masks = segmenter.mask_boxes(image, boxes)
    assert len(masks) == 3
    assert masks[0] == masks[2]
    there: list[ObjectMask] = [mask for mask in masks if mask is not None]
    assert there
    (found,) = segmenter.segment_with_boxes([image], [boxes])
    assert {mask.rle for mask in there} <= {mask.rle for mask in found}
    assert segmenter.mask_boxes(image, []) == []


def test_without_boxes_the_sam_sees_no_image(folder: Path, sam: Path) -> None:
    class Blind:
        def mask_boxes(
            self, image: UInt8Image, boxes: Sequence[BoxXyxy]
        ) -> list[ObjectMask | None]:
            raise AssertionError("asked for nothing")

    options = options_of(folder, sam)
    assert (
        Grounding(load_detector(options), Blind(), options).find(noise(60, 80), ["dog"], 1.0) == []
    )


@pytest.mark.long
def test_the_demo_fills_boxes_as_a_prompt_does() -> None:
    image, box = noise(60, 80), (5.0, 5.0, 40.0, 50.0)
    segmenter = build_segmenter(SegmenterOptions(device="cpu"))
    assert isinstance(segmenter, PromptableGridSegmenter)
    # In a fingerprint: other parts would give boxes other masks.
    assert len(segmenter.prompts_sha256) == 64
    assert segmenter.mask_boxes(image, [box]) == [
        segmenter.open_image(image).predict(box_xyxy=box).mask
    ]


def test_fingerprint_covers_what_changes_the_result(
    detector: TextDetector, folder: Path, sam: Path, tmp_path: Path
) -> None:
    options = options_of(folder, sam)
    masks = build_segmenter(options.model_copy(update={"name": "sam2.1_t"}))
    assert isinstance(masks, GridSegmenter)

    def fingerprint(by: TextDetector = detector, **changes: object) -> str:
        return build_from(by, masks, options_of(folder, sam, **changes)).fingerprint

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    write_vocabulary(tuple(reversed(WORDS)), other)
    rereading = load_detector(options.model_copy(update={"detector": str(other)}))
    own = fingerprint()
    assert own == fingerprint(precision="bf16", points_per_side=3, detector=str(tmp_path))
    assert own == build_segmenter(options).fingerprint
    changes: list[dict[str, object]] = [
        {"name": "grounded:a red mug"}, {"name": "grounded:dog,a red mug"}, {"score_thresh": 0.1},
        {"max_objects": 3},
    ]  # fmt: skip
    others = [fingerprint(rereading), *(fingerprint(**change) for change in changes)]
    masks.weights_sha256 = "of others"
    assert len({own, *others, fingerprint()}) == len(changes) + 3


def test_what_cannot_be_is_told_at_once(folder: Path, sam: Path, tmp_path: Path) -> None:
    def check(**changes: object) -> None:
        check_segmenter(options_of(folder, sam, **changes))

    check()
    check(detector=str(folder / "model.safetensors"))
    for name in ("grounded", "grounded:", "grounded:a, ,b"):
        with pytest.raises(UsageError, match="expected texts to look for, as in 'grounded:a red"):
            check(name=name)
    with pytest.raises(UnknownModelError, match="no detector is called 'llmdet': did you mean"):
        check(detector="llmdet")
    with pytest.raises(UsageError, match=r"detector: expected a detector for 'grounded:a red"):
        check(detector="none")
    with pytest.raises(UsageError, match=r"mask_model: expected one of sam_demo, .*got segformer"):
        check(mask_model="segformer_b0_ade")
    with pytest.raises(ModelError, match="there is no such file"):
        check(detector=str(tmp_path / "none"))
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=r"expected tokenizer\.json or vocab\.txt in"):
        check(detector=str(tmp_path / "bare"))
    (tmp_path / "bare" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="expected a tokenizer of BERT in"):
        build_segmenter(options_of(tmp_path / "bare", sam, detector=str(tmp_path / "bare")))
    with pytest.raises(UsageError, match="words that the detector knows, got 'zebra'"):
        build_segmenter(options_of(folder, sam, name="grounded:cat,zebra"))
