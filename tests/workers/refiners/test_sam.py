"""What a SAM is asked with masks, once an image, and which of its answers are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.drawn_errors import KnowingBoxMasker, KnowingSam, draw_error, draw_true, paint
from support.tiny_sam import make_noise

from schemas.errors import ModelError, UsageError
from schemas.masks import CocoRle
from schemas.options import RefinerOptions, SamOptions, SegmenterOptions
from workers.models import catalog
from workers.models.refiner_options import check_sam, choose_sam, list_fetched_sams
from workers.refiners.sam import build
from workers.registry import build_segmenter, check_segmenter
from workers.segmenter_protocols import PromptableSegmenter

TRUE = CocoRle.from_mask(draw_true())
IMAGE = paint(draw_true())
MASKS = [CocoRle.from_mask(draw_error("eroded", much)) for much in (2, 20)]


def options_of(name: str, **sam: object) -> SegmenterOptions:
    return SegmenterOptions.model_validate(
        {"name": name, "refine": ["sam"], "refiners": {"sam": sam}, "device": "cpu"}
    )


def choose(name: str, **sam: object) -> str | None:
    entry = choose_sam(options_of(name, **sam))
    return entry and entry.name


def test_an_answer_is_kept_where_it_agrees_with_the_mask() -> None:
    ious = [(40 - much) ** 2 / 40**2 for much in (2, 20)]  # 0.90 and 0.25
    assert ious[0] > 0.8 > 0.5 > ious[1]
    for min_iou, kept in ((0.0, 2), (0.5, 1), (0.95, 0)):
        options = RefinerOptions(sam=SamOptions(min_iou=min_iou))
        refined = build(options, KnowingSam(TRUE).find).open_image(IMAGE).refine(MASKS)
        assert refined == [TRUE] * kept + MASKS[kept:]


def test_a_mask_without_an_answer_stays() -> None:
    nothing = CocoRle.from_mask(np.zeros(IMAGE.shape[:2], np.bool_))
    options = RefinerOptions(sam=SamOptions(min_iou=0))
    for sam in (KnowingSam(nothing), KnowingBoxMasker(nothing)):
        assert build(options, sam.find).open_image(IMAGE).refine(MASKS) == MASKS


def test_an_image_is_encoded_once_and_not_for_nothing() -> None:
    sam = KnowingSam(TRUE)
    opened = build(RefinerOptions(), sam.find).open_image(IMAGE)
    opened.refine([])
    assert sam.opened == 0
    opened.refine(MASKS)
    opened.refine(MASKS[:1])
    assert sam.opened == 1
    assert sam.prompts[0] == {
        "points_xy": [(80.5, 60.5)], "labels": [1], "box_xyxy": (43.0, 23.0, 118.0, 98.0),
    }  # fmt: skip
    assert len(sam.prompts) == 3


def test_one_that_takes_boxes_alone_gets_all_of_an_image_at_once() -> None:
    masker = KnowingBoxMasker(TRUE)
    opened = build(RefinerOptions(), masker.find).open_image(IMAGE)
    assert opened.refine([]) == []
    assert opened.refine(MASKS) == [TRUE, MASKS[1]]
    assert masker.boxes == [[(43.0, 23.0, 118.0, 98.0), (61.0, 41.0, 100.0, 80.0)]]


def test_the_sam_is_the_segmenter_or_the_one_that_is_named() -> None:
    assert choose("sam_demo") is choose("sam_vit_b") is choose("sam2.1_t") is None
    assert choose("maskrcnn_demo") == choose("grid") == choose("boxes") == "sam_demo"
    assert choose("grounded:a cat") == "sam2.1_t"
    assert choose("grid", model="sam_vit_b") == "sam_vit_b"
    assert choose("sam_demo", model="sam_demo") is None
    assert choose("sam_demo", model="sam2.1_s") == "sam2.1_s"
    assert choose("sam_demo", checkpoint="other.safetensors") == "sam_demo"
    plain = options_of("rf_detr_seg_nano").model_copy(update={"refine": ("edges",)})
    assert choose_sam(plain) is None
    with pytest.raises(UsageError, match=r"sam\.model: expected a SAM to refine the masks of rf_d"):
        choose("rf_detr_seg_nano")
    with pytest.raises(UsageError, match=r"sam\.model: expected one of sam_demo, .*, got clip"):
        choose("grid", model="clip")


def test_its_weights_are_looked_for_and_fetched(tmp_path: Path) -> None:
    fetched = list_fetched_sams(options_of("grid", model="sam_vit_b"))
    assert fetched == [catalog.find("sam_vit_b")]
    assert list_fetched_sams(options_of("sam_vit_b")) == []  # the segmenter's are
    assert list_fetched_sams(options_of("maskrcnn_demo")) == []
    local = options_of("grid", model="sam_vit_b", checkpoint=str(tmp_path / "none.pth"))
    assert list_fetched_sams(local) == []
    for check in (check_sam, check_segmenter):
        with pytest.raises(ModelError, match=r"none\.pth cannot be read: there is no such file"):
            check(local)
        check(options_of("maskrcnn_demo"))


def test_a_segmenter_is_refined_by_a_sam_with_its_weights_in_the_fingerprint() -> None:
    image = make_noise(48, 64)
    plain = SegmenterOptions(name="grid", device="cpu", tiles_per_side=1, max_area_frac=1)
    refined = build_segmenter(
        plain.model_copy(update={
            "refine": ("sam",), "refiners": RefinerOptions(sam=SamOptions(min_iou=0)),
        })
    )  # fmt: skip
    own = build_segmenter(options_of("sam_demo"))
    prints = {build_segmenter(plain).fingerprint, refined.fingerprint, own.fingerprint}
    assert len(prints) == 3
    assert isinstance(own, PromptableSegmenter)
    (before,), (after,) = build_segmenter(plain).segment([image])[0], refined.segment([image])[0]
    assert before.area_px == 48 * 64
    assert after.rle != before.rle
