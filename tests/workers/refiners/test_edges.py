"""Borders of masks: moved to where colours change, the same whatever strips they are decided in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from schemas.overlaps import mask_iou
from workers.refiners import band_field
from workers.refiners.band_field import FIELD, Field, Float32s, decide_border, measure_distance
from workers.refiners.edges import refine_edges

HEIGHT, WIDTH = 90, 120
SMALL = Field(band=3, reach=4, step=2, rounds=2)


def make_disc(radius: float, centre: tuple[float, float] = (60.0, 45.0)) -> BoolMask:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(columns - centre[0], rows - centre[1]) < radius


def paint(mask: BoolMask, noise: int = 12) -> UInt8Image:
    """What a mask shows in one colour, its surroundings in another, with noise."""
    colours = np.where(mask[..., None], (200, 90, 60), (70, 120, 150))
    grain = np.random.default_rng(0).integers(-noise, noise + 1, colours.shape)
    return (colours + grain).astype(np.uint8)


def measure_iou(mask: CocoRle, other: CocoRle) -> float:
    return float(mask_iou([mask], [other])[0, 0])


def measure_slowly(mask: BoolMask) -> np.ndarray:
    """The distance of each pixel to the nearest of the other kind, less half a pixel."""
    places = np.argwhere(np.ones_like(mask))
    distance = np.empty(mask.shape, np.float32)
    for y, x in places:
        others = places[mask[places[:, 0], places[:, 1]] != mask[y, x]]
        nearest = np.sqrt(((others - (y, x)) ** 2).sum(axis=1).min()) - 0.5
        distance[y, x] = nearest if mask[y, x] else -nearest
    return distance


def decide_slowly(
    pixels: UInt8Image, mask: BoolMask, field: Field, by_colour: Float32s
) -> BoolMask:
    """The same random field by its formulas, a pixel at a time, in float64."""
    distance = measure_slowly(mask)
    band = np.argwhere(np.abs(distance) <= field.band)
    share = np.where(mask, 1.0, -1.0)
    unary = distance / field.border_width + field.model_weight * by_colour
    for y, x in band:
        share[y, x] = math.tanh(unary[y, x] / 2)
    sides = range(-field.reach, field.reach + 1, field.step)
    for _ in range(field.rounds):
        before = share.copy()
        for y, x in band:
            said = total = plain = near = 0.0
            for v, u in ((y + dy, x + dx) for dy in sides for dx in sides if dy or dx):
                if 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1]:
                    colour = ((pixels[v, u].astype(int) - pixels[y, x]) ** 2).sum()
                    away = ((v - y) ** 2 + (u - x) ** 2) / (field.reach / 2) ** 2
                    alike = math.exp(-colour / 2 / field.colour_sigma**2 - away / 2)
                    said, total = said + alike * before[v, u], total + alike
                    plain, near = (
                        plain + math.exp(-away / 2) * before[v, u],
                        near + math.exp(-away / 2),
                    )
            unlike_nearness = said / (total + 1e-6) - field.unasked * plain / (near + 1e-6)
            share[y, x] = math.tanh((unary[y, x] + field.weight * unlike_nearness) / 2)
    return share > 0


def speak_slowly(
    pixels: UInt8Image, old: BoolMask, new: BoolMask, field: Field
) -> tuple[list[float], list[float]]:
    """What colours say for each pixel that has changed, and how much more than nearness."""
    said, beyond = [], []
    sides = range(-field.reach, field.reach + 1, field.step)
    for y, x in np.argwhere(old != new):
        alike, near, same = [], [], []
        for v, u in ((y + dy, x + dx) for dy in sides for dx in sides if dy or dx):
            if 0 <= v < old.shape[0] and 0 <= u < old.shape[1]:
                colour = ((pixels[v, u].astype(int) - pixels[y, x]) ** 2).sum()
                near.append(math.exp(-((v - y) ** 2 + (u - x) ** 2) / (field.reach / 2) ** 2 / 2))
                alike.append(near[-1] * math.exp(-colour / 2 / field.colour_sigma**2))
                same.append(1 if new[v, u] == new[y, x] else -1)
        said.append(np.dot(alike, same) / sum(alike))
        beyond.append(said[-1] - np.dot(near, same) / sum(near))
    return said, beyond


def test_distances_are_those_to_the_nearest_pixel_of_the_other_kind() -> None:
    mask = np.random.default_rng(3).random((9, 12)) < 0.15
    mask[2:7, 3:11] = True
    true = measure_slowly(mask)
    found = measure_distance(mask, 4)
    near = np.abs(true) <= 4
    np.testing.assert_allclose(found[near], true[near], atol=1e-6)
    assert (np.abs(found[~near]) > 4).all()
    assert ((found > 0) == mask).all()


@pytest.mark.parametrize("model_weight", [0.0, 1.5])
def test_a_border_is_decided_as_the_formulas_say(model_weight: float) -> None:
    true = make_disc(5, (9, 7))[:14, :17]
    pixels = paint(true, noise=40)
    mask = np.roll(true, 1, axis=1)
    field = replace(SMALL, model_weight=model_weight)
    by_colour = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    expected = decide_slowly(pixels, mask, field, by_colour)
    assert (expected != mask).any()
    decision = decide_border(pixels, mask, field, by_colour)
    np.testing.assert_array_equal(decision.mask, expected)
    changed = mask != expected
    for found, slow in zip(decision[1:], speak_slowly(pixels, mask, expected, SMALL), strict=True):
        np.testing.assert_allclose(found[changed] / 1000, slow, atol=0.001)
        assert not found[~changed].any()


def test_what_is_alike_may_be_compared_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    true = make_disc(12)
    pixels, mask = paint(true, noise=40), np.roll(true, 2, axis=1)
    kept = decide_border(pixels, mask)
    assert (kept.mask != mask).any()
    monkeypatch.setattr(band_field, "_MOST_KEPT", 1)
    for found, wanted in zip(decide_border(pixels, mask), kept, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_mask_stays_where_colours_say_little_of_what_would_change() -> None:
    true = make_disc(25)
    image, given = paint(true, noise=70), CocoRle.from_mask(make_disc(28))
    trusting = replace(FIELD, least_said=-1.0)
    assert refine_edges(image, given, trusting) != given
    assert refine_edges(image, given, replace(FIELD, least_said=1.0, least_beyond=2.0)) == given
    for field in (replace(FIELD, least_said=0.0), replace(FIELD, least_beyond=-1.0)):
        assert refine_edges(image, given, field) == refine_edges(image, given, trusting)


@pytest.mark.parametrize("wrong", ["larger", "smaller", "moved"])
def test_a_wrong_border_moves_to_the_colours(wrong: str) -> None:
    true = make_disc(25)
    masks = {"larger": make_disc(29), "smaller": make_disc(21), "moved": make_disc(25, (63, 47))}
    given = CocoRle.from_mask(masks[wrong])
    refined = refine_edges(paint(true), given)
    wanted = CocoRle.from_mask(true)
    assert measure_iou(given, wanted) < 0.88
    assert measure_iou(refined, wanted) > 0.97


def test_nothing_moves_further_than_the_band_or_without_colours() -> None:
    mask = make_disc(25)
    plain = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    refined = refine_edges(plain, CocoRle.from_mask(mask)).decode()
    assert (refined != mask).sum() < 0.04 * mask.sum()  # half a pixel of its border
    far = np.abs(measure_distance(mask, FIELD.band)) > FIELD.band
    other = refine_edges(paint(make_disc(40)), CocoRle.from_mask(mask)).decode()
    np.testing.assert_array_equal(other[far], mask[far])


@pytest.mark.parametrize("field", [SMALL, replace(SMALL, model_weight=1.5)])
@pytest.mark.parametrize("centre", [(60.0, 45.0), (2.0, 45.0), (118.0, 88.0)])
def test_strips_change_nothing(centre: tuple[float, float], field: Field) -> None:
    image = paint(make_disc(30, centre), noise=60)
    given = CocoRle.from_mask(make_disc(27, (centre[0] + 2, centre[1])))
    whole = refine_edges(image, given, field)
    assert whole != given
    for strip_px in (1, 7, 16, 50):
        assert refine_edges(image, given, field, strip_px) == whole


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_small_images_and_masks_without_a_border_stay(size_hw: tuple[int, int]) -> None:
    full = CocoRle.from_mask(np.ones(size_hw, np.bool_))
    assert refine_edges(np.zeros((*size_hw, 3), np.uint8), full) == full
