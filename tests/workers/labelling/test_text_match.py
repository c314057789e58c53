"""Which masks show a text, told from a list of labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.object_masks import object_mask

from schemas.labels import LabelEntry
from schemas.masks import ObjectMask
from schemas.options import LabelOptions
from workers.labelling.calibration import Calibration, Curve, calibration_of
from workers.labelling.labeller import Labeller
from workers.labelling.text_match import TextMatcher

DIM = 5


def square(left: int, right: int, iou: float = 0.9) -> ObjectMask:
    mask = np.zeros((10, 20), np.bool_)
    mask[:, left:right] = True
    return replace(object_mask(mask), predicted_iou=iou)


def axis(*numbers: float) -> np.ndarray:
    vector = np.zeros(DIM, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def matcher(
    name: str, texts: dict[str, np.ndarray], calibration: Calibration | None = None
) -> TextMatcher:
    entries = (LabelEntry("cat"), LabelEntry("dog"))
    vectors = np.stack([axis(1), axis(0, 1)])
    labeller = Labeller(entries, vectors, LabelOptions(), name, calibration)
    return TextMatcher(tuple(texts), np.stack([*texts.values()]), labeller)


def test_without_calibration_it_is_the_share_among_text_and_labels() -> None:
    found = matcher("some/other", {"a fox": axis(0, 0, 1)}).judge(
        [square(0, 5), square(5, 10)], np.stack([axis(0, 0, 1), axis(1, 0, 0.99)])
    )
    cosine, other = axis(1, 0, 0.99)[2], axis(1, 0, 0.99)[0]
    share = 1 / (1 + math.exp(100 * (other - cosine)) + math.exp(-100 * cosine))
    assert found[0, 0] > 0.999
    assert found[0, 1] == pytest.approx(share, abs=1e-3)


def test_the_demo_has_its_curve_on_the_odds_of_one_image() -> None:
    demo = matcher("clip_demo", {"a fox": axis(0, 0, 1)})
    found = demo.judge([square(0, 5, 0.8)], np.stack([axis(0, 0, 1)]))[0, 0]
    # 30 times the cosine, 5 times the predicted IoU, less half of log(2): both labels are at 0.
    logit = -16.276 + 1.161 * (30 + 5 * 0.8 - 0.5 * math.log(2)) + 4.0
    assert found == pytest.approx(1 / (1 + math.exp(-logit)), abs=2e-4)
    unlike = demo.judge([square(0, 5, 0.8)], np.stack([axis(1)]))[0, 0]
    assert unlike < 0.02


def test_a_calibration_of_ones_own_is_used_and_in_the_fingerprint() -> None:
    texts, known = {"a fox": axis(0, 0, 1)}, calibration_of("clip_demo")
    own = matcher("clip_demo", texts, replace(known, text=Curve(0.0, (0.1,)), shown=0.9))
    found = own.judge([square(0, 5, 0.8)], np.stack([axis(1)]))[0, 0]
    # Cosine 0, 5 times the predicted IoU, less half of log(e^30 + 1), which is 15.
    assert found == pytest.approx(1 / (1 + math.exp(-(0.1 * (5 * 0.8 - 15) + 4.0))), abs=2e-4)
    assert own.shown == 0.9
    assert own.fingerprint != matcher("clip_demo", texts).fingerprint
    assert matcher("clip_demo", texts).fingerprint == matcher("clip_demo", texts, known).fingerprint


def test_masks_are_named_by_their_likeliest_text_and_the_surest_of_overlapping_stays() -> None:
    texts = {"a fox": axis(0, 0, 1), "an owl": axis(0, 0, 0, 1)}
    masks = [square(0, 8, 0.7), square(1, 9, 0.9), square(10, 20)]
    near = axis(0, 0, 0.3, 0, 0.91**0.5)
    vectors = np.stack([near, near, axis(0, 0, 0.1, 1)])
    found = matcher("clip_demo", texts).find(masks, vectors)
    assert sorted((each.segmenter_label, each.bbox_xyxy[0]) for each in found) == [
        ("a fox", 1),
        ("an owl", 10),
    ]
    scores = [each.segmenter_score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert matcher("clip_demo", texts).find(masks, vectors, least=1.0) == []
    assert matcher("clip_demo", texts).find([], np.zeros((0, DIM), np.float32)) == []
