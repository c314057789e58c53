"""Thumbnails: the part of the image that they name, no larger than wanted, a few KB each."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.thumbnails import Thumbnail, parse_webp, thumbnail_check
from workers.images.thumbnails import make_thumbnail, read_thumbnail


@pytest.fixture
def pixels() -> np.ndarray:
    """Four quarters of a colour each."""
    image = np.zeros((300, 400, 3), np.uint8)
    image[:150, :200], image[:150, 200:] = (200, 40, 40), (40, 200, 40)
    image[150:, :200], image[150:, 200:] = (40, 40, 200), (200, 200, 40)
    return image


def test_a_part_is_reduced_in_proportion(pixels: np.ndarray) -> None:
    made = make_thumbnail(pixels, (100, 50, 300, 150), 64)
    assert made.box_xyxy == (100, 50, 300, 150)
    shown = read_thumbnail(made.webp)
    assert shown.shape == (32, 64, 3)
    assert np.abs(shown[16, 8].astype(int) - (200, 40, 40)).max() < 12
    assert np.abs(shown[16, 56].astype(int) - (40, 200, 40)).max() < 12


def test_what_is_small_stays_as_it_is(pixels: np.ndarray) -> None:
    assert read_thumbnail(make_thumbnail(pixels, (190, 140, 210, 160), 64).webp).shape == (
        20,
        20,
        3,
    )
    assert read_thumbnail(make_thumbnail(pixels, (0, 0, 1, 1), 64).webp).shape == (1, 1, 3)
    assert read_thumbnail(make_thumbnail(pixels, (0, 0, 400, 1), 64).webp).shape == (1, 64, 3)


def test_a_busy_part_takes_some_kilobytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    busy = np.kron(noise, np.ones((20, 20, 1), np.uint8))
    assert 2000 < len(make_thumbnail(busy, (0, 0, 800, 800), 256).webp) < 30_000


def test_other_bytes_are_no_thumbnail() -> None:
    with pytest.raises(ValueError, match="expected a thumbnail in WebP, got 4 other bytes"):
        read_thumbnail(b"GIF8")
    with pytest.raises(ValueError, match="expected base64"):
        parse_webp("no base64!")


def test_the_check_is_of_the_bytes_and_of_whose_they_are() -> None:
    text = Thumbnail((0, 0, 1, 1), b"bytes").to_text()
    assert parse_webp(text) == b"bytes"
    checks = {
        thumbnail_check(identity, content)
        for identity in ("a", "b")
        for content in (text, Thumbnail((0, 0, 1, 1), b"others").to_text())
    }
    assert len(checks) == 4
    assert thumbnail_check("a", text) == "c503f680ed19b897"
