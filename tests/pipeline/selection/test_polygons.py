"""Masks as polygons: what is drawn from a polygon is the mask again, but for its holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco
from scipy import ndimage

from pipeline.selection.polygons import trace_polygon
from schemas.masks import BoolMask, CocoRle


def filled(polygon: np.ndarray, shape: tuple[int, int]) -> BoolMask:
    rles = coco.frPyObjects([polygon.ravel().tolist()], *shape)
    return CocoRle(shape, coco.merge(rles)["counts"].decode()).decode()


def iou(one: BoolMask, other: BoolMask) -> float:
    return float((one & other).sum() / (one | other).sum())


def disc(radius: int, at: tuple[int, int], shape: tuple[int, int]) -> BoolMask:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - at[0]) ** 2 + (columns - at[1]) ** 2 <= radius**2


def test_a_rectangle_has_four_corners() -> None:
    mask = np.zeros((8, 10), np.bool_)
    mask[2:5, 3:9] = True
    polygon = trace_polygon(mask)
    assert polygon is not None
    assert {tuple(corner) for corner in polygon.tolist()} == {(3, 2), (9, 2), (9, 5), (3, 5)}


def test_a_disc_keeps_its_shape_with_few_corners() -> None:
    mask = disc(40, (60, 70), (120, 140))
    polygon = trace_polygon(mask)
    assert polygon is not None
    assert len(polygon) < 60
    assert iou(filled(polygon, mask.shape), mask) > 0.98


def test_parts_are_joined_and_holes_filled() -> None:
    ring = disc(30, (40, 40), (100, 160)) & ~disc(12, (40, 40), (100, 160))
    mask = ring | disc(20, (70, 120), (100, 160)) | disc(8, (20, 100), (100, 160))
    polygon = trace_polygon(mask)
    assert polygon is not None
    assert iou(filled(polygon, mask.shape), ndimage.binary_fill_holes(mask)) > 0.95


def test_an_empty_mask_has_none() -> None:
    assert trace_polygon(np.zeros((4, 5), np.bool_)) is None


@pytest.mark.parametrize("mask", [np.eye(4, dtype=np.bool_), np.eye(4, dtype=np.bool_)[::-1]])
def test_pixels_that_touch_at_a_corner_are_parts(mask: BoolMask) -> None:
    polygon = trace_polygon(mask)
    assert polygon is not None
    assert area_of(polygon) == 4


def area_of(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 3))))
def test_few_pixels_have_exactly_their_area(mask: BoolMask) -> None:
    """Of outlines with more corners a staircase becomes a line."""
    polygon = trace_polygon(mask)
    parts, number = ndimage.label(mask)
    around = np.ones((3, 3), np.bool_)
    whole = sum(
        int(ndimage.binary_fill_holes(parts == part, around).sum()) for part in range(1, number + 1)
    )
    assert (0 if polygon is None else area_of(polygon)) == whole
