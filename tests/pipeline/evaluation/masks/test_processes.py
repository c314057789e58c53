"""Counting in lots and in other processes gives what one after the other does."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from support.drawn_detections import draw_image

from pipeline.evaluation.masks.detections import ImageMasks
from pipeline.evaluation.masks.evaluation import MaskEvaluation, MaskScores
from pipeline.evaluation.masks.processes import count_images


def draw_images(count: int) -> list[ImageMasks]:
    random = np.random.default_rng(5)
    return [draw_image(random) for _ in range(count)]


def count(images: list[ImageMasks]) -> MaskEvaluation:
    evaluation = MaskEvaluation()
    for image in images:
        evaluation.add(image)
    return evaluation


def assert_same(found: MaskScores, expected: MaskScores) -> None:
    assert found.figures == expected.figures
    assert (found.pixels, found.confusion) == (expected.pixels, expected.confusion)
    spread = asdict(found.spread)
    for name, value in asdict(expected.spread).items():
        np.testing.assert_array_equal(spread[name], value)


def test_what_another_counted_goes_on() -> None:
    images = draw_images(9)
    evaluation = count(images[:4])
    evaluation.measure(0)
    evaluation.extend(MaskEvaluation())
    evaluation.extend(count(images[4:]))
    assert (evaluation.images, evaluation.true) == (9, sum(len(one.true) for one in images))
    assert_same(evaluation.measure(4), count(images).measure(4))


@pytest.mark.long
def test_processes_count_the_same() -> None:
    images = draw_images(7)
    noted: list[int] = []
    evaluation = count_images(iter(images), noted.append, few_images=2, lot=3)
    assert_same(evaluation.measure(4), count(images).measure(4))
    assert noted[-1] == 7


def test_few_are_counted_here() -> None:
    images, noted = draw_images(3), []
    assert_same(count_images(images, noted.append).measure(0), count(images).measure(0))
    assert noted == [1, 2, 3]
