"""Segmenting from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.colour_world import COLOURS, GREY, paint
from support.segment_world import PromptableColours, models_of

from pipeline.python_api.segmentation import Prompts, segment_picture
from pipeline.segmentation.queries import EverythingQuery, PromptQuery, TextQuery
from pipeline.settings import Settings
from schemas.errors import UsageError


def test_arrays_and_paths_become_masks(tmp_path: Path) -> None:
    paint(tmp_path)
    settings, segmenter = Settings(), PromptableColours()
    models = models_of(settings, segmenter)
    found = segment_picture(tmp_path / "two.png", Prompts(), models, settings)
    assert [each.bbox_xyxy for each in found] == [(60, 20, 100, 70), (10, 10, 40, 50)]
    assert (found[0].area_px, found[0].label, found[0].score) == (2000, None, 0.9)
    pixels = np.full((20, 30, 3), GREY, np.uint8)
    pixels[5:15, 10:20] = COLOURS["red"]
    prompts = Prompts(points=[(12, 7), (1, 1, 0)], box=(9, 4, 21, 16))
    (red,) = segment_picture(pixels, prompts, models, settings)
    assert red.mask.shape == (20, 30)
    assert red.mask[5:15, 10:20].all()
    assert red.mask.sum() == red.area_px == 100
    assert segmenter.asked[-1] == (((12, 7), (1, 1)), (1, 0), (9, 4, 21, 16), False)
    (labelled,) = segment_picture(pixels, Prompts(labels=["blue", "red"]), models, settings)
    assert labelled.label == "red"
    assert labelled.score > 0.9


def test_prompts_are_of_one_kind() -> None:
    assert isinstance(Prompts().parse(), EverythingQuery)
    assert isinstance(Prompts(mask=np.ones((2, 2), np.bool_)).parse(), PromptQuery)
    assert Prompts(text="a cat", min_probability=0.2).parse() == TextQuery(("a cat",), 0.2)
    assert Prompts(text=["a cat", "a dog"]).parse() == TextQuery(("a cat", "a dog"))
    with pytest.raises(UsageError, match="or labels, got several"):
        Prompts(text="a cat", box=(0, 0, 1, 1)).parse()
    with pytest.raises(UsageError, match="the label 'a' stands twice"):
        Prompts(labels=["a", "a"]).parse()
    with pytest.raises(UsageError, match="expected a text to go with min_probability"):
        Prompts(min_probability=0.2).parse()


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (np.zeros((0, 30, 3), np.uint8), r"uint8 \(0, 30, 3\)"),
        (np.zeros((20, 30), np.uint8), r"uint8 \(20, 30\)"),
        (np.zeros((20, 30, 4), np.uint8), r"uint8 \(20, 30, 4\)"),
        (np.zeros((20, 30, 3), np.float64), r"float64 \(20, 30, 3\)"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(pixels: np.ndarray, got: str) -> None:
    settings = Settings()
    with pytest.raises(UsageError, match=rf"uint8 \(height, width, 3\), got {got}"):
        segment_picture(pixels, Prompts(), models_of(settings), settings)
