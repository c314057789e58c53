"""How images become frames: sizes as the hub's files give them, and where each part lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from schemas.errors import ModelError
from workers.segmenters.placement import Placement
from workers.segmenters.preparation import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preparation,
    read_preparation,
    read_training_size,
)

FIT = Preparation("fit", 800, 1333, divisor=32)


def test_sizes_are_read_as_the_hub_spells_them() -> None:
    square = Preparation("stretch", 512, 512)
    assert read_preparation({"size": 640}, square) == Preparation("stretch", 640, 640)
    sized = read_preparation({"size": {"height": 96, "width": 64}, "resample": 3}, square)
    assert (sized.short_px, sized.long_px, sized.bicubic) == (96, 64, True)
    fit = read_preparation({"size": {"shortest_edge": 512, "longest_edge": None}}, FIT)
    assert (fit.resize, fit.short_px, fit.long_px, fit.divisor) == ("fit", 512, None, 32)
    assert read_preparation({"size": 480, "max_size": 800}, FIT).long_px == 800
    with pytest.raises(ModelError, match=r"expected sizes in pixels .*, got \{'height': 'x'"):
        read_preparation({"size": {"height": "x", "width": 3}}, square)


def test_detectrons_sizes_are_those_of_the_test() -> None:
    backbone = {"height": 384, "width": 384}
    assert read_training_size({"size": backbone, "_max_size": 1333}, FIT) == FIT
    ade = read_training_size({"size": backbone, "_max_size": 2560}, FIT)
    assert (ade.resize, ade.short_px, ade.long_px) == ("fit", 640, 2560)
    assert read_training_size({"size": {"height": 64, "width": 64}}, FIT).resize == "stretch"


def test_images_are_fitted_and_padded() -> None:
    (place,) = FIT.place((500, 1000))
    assert (place.used_hw, place.frame_hw) == ((667, 1333), (672, 1344))
    (place,) = Preparation("fit", 64, 64, pad_square=True).place((30, 60))
    assert (place.used_hw, place.frame_hw) == ((32, 64), (64, 64))
    (place,) = Preparation("fit", 64, 64, pad_square=True).place((1, 3000))
    assert place.used_hw == (1, 64)


@pytest.mark.parametrize(("size_hw", "starts"), [((50, 120), 3), ((120, 50), 3), ((64, 64), 1)])
def test_parts_cover_an_image_evenly(size_hw: tuple[int, int], starts: int) -> None:
    places = Preparation("fit", 64, None, split=True).place(size_hw)
    assert len(places) == starts
    long_side = int(np.argmax(size_hw))
    used = places[0].used_hw[long_side]
    offsets = [place.offset_yx[long_side] for place in places]
    assert offsets[0] == 0
    assert used - 64 - offsets[-1] in (0, 1)
    assert all(place.frame_hw == (64, 64) for place in places)
    covered = np.zeros(size_hw, int)
    for place in places:
        rows, columns = place.sample((16, 16))
        covered[rows.begin : rows.end, columns.begin : columns.end] += 1
    assert covered.min() >= 1


def test_frames_are_normalised_and_padded_with_nothing() -> None:
    preparation = Preparation("fit", 8, 8, pad_square=True)
    image = np.full((4, 8, 3), (10, 120, 250), np.uint8)
    places = preparation.place((4, 8))
    assert places == [Placement((4, 8), (4, 8), (8, 8))]
    (frame,) = preparation.make_frames(image, places, torch.device("cpu"))
    wanted = (np.array([10, 120, 250]) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(frame[:, 2, 3], wanted, rtol=1e-5)
    assert (frame[:, 4:] == 0).all()
