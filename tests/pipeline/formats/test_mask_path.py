"""Rings and paths of masks: whoever fills them has the masks again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.yolo_reader import draw_line, fill_path

from pipeline.formats import mask_path
from pipeline.formats.mask_path import trace_path
from pipeline.formats.mask_rings import trace_rings
from schemas.masks import BoolMask, CocoRle

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def draw(text: str) -> BoolMask:
    """A mask of lines in which # is its pixels."""
    return np.array([[character == "#" for character in line] for line in text.split()])


def fill_rings(mask: BoolMask) -> BoolMask:
    size_wh = (mask.shape[1], mask.shape[0])
    filled, on_a_ring = np.zeros_like(mask), np.zeros_like(mask)
    for ring in trace_rings(mask):
        filled ^= fill_path(ring, size_wh) & ~_draw_ring(ring, mask.shape)
        on_a_ring |= _draw_ring(ring, mask.shape)
    return filled & ~on_a_ring | on_a_ring


def _draw_ring(ring: np.ndarray, shape: tuple[int, ...]) -> BoolMask:
    drawn = np.zeros(shape, bool)
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        line = draw_line(start, end)
        drawn[line[:, 1], line[:, 0]] = True
    return drawn


@pytest.mark.parametrize(
    ("text", "rings"),
    [
        (".... .##. .##. ....", [[(1, 1), (2, 1), (2, 2), (1, 2)]]),
        ("#", [[(0, 0)]]),
        ("###", [[(0, 0), (2, 0)]]),
        ("#. .#", [[(0, 0)], [(1, 1)]]),
        (".#. ### .#.", [[(1, 0), (2, 1), (1, 2), (0, 1)]]),
        (
            "##### #...# #...# #####",
            [[(0, 0), (4, 0), (4, 3), (0, 3)], [(0, 0), (4, 0), (4, 3), (0, 3)]],
        ),
    ],
)
def test_rings_go_through_the_outermost_pixels(
    text: str, rings: list[list[tuple[int, int]]]
) -> None:
    found = [sorted(map(tuple, ring.tolist())) for ring in trace_rings(draw(text))]
    assert found == [sorted(ring) for ring in rings]


@given(MASKS)
def test_a_path_goes_over_every_pixel_of_the_border_and_no_other_but_bridges(
    mask: BoolMask,
) -> None:
    if not mask.any():
        assert trace_rings(mask) == []
        return
    size_wh = (mask.shape[1], mask.shape[0])
    path = trace_path(CocoRle.from_mask(mask))
    filled = fill_path(path, size_wh)
    assert (filled | ~mask).all()
    if count_parts(mask) == 1:
        assert (filled == mask).all()


@given(MASKS)
def test_rings_filled_by_the_even_odd_rule_are_the_mask(mask: BoolMask) -> None:
    assert (fill_rings(mask) == mask).all()


def count_parts(mask: BoolMask) -> int:
    """How many parts a mask has whose pixels touch at a side or a corner."""
    left, parts = {tuple(place) for place in np.argwhere(mask).tolist()}, 0
    while left:
        edge, parts = [left.pop()], parts + 1
        while edge:
            y, x = edge.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
    return parts


def test_parts_are_joined_by_the_shortest_bridges() -> None:
    mask = draw("##..##..# ##..##... ......... ##....... ##.......")
    filled = fill_path(trace_path(CocoRle.from_mask(mask)), (9, 5))
    bridges = filled & ~mask
    assert bridges.sum() == 5
    assert bridges[2, :2].sum() == 1
    assert bridges[:2, 2:4].sum() == bridges[:2, 6:8].sum() == 2


def test_a_large_mask_of_many_parts_and_holes() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :200]
    mask = np.hypot(y - 80, x - 100) < 75
    mask &= rng.random(mask.shape) > 0.05
    rle = CocoRle.from_mask(mask)
    filled = fill_path(trace_path(rle), (200, 160))
    iou = (filled & mask).sum() / (filled | mask).sum()
    assert iou > 0.995, iou


def test_of_noise_the_longest_rings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_path, "_MOST_RINGS", 2)
    mask = draw("#..###..# ...#.#... ...###... .........")
    filled = fill_path(trace_path(CocoRle.from_mask(mask)), (9, 4))
    assert (filled[:3, 3:6] == mask[:3, 3:6]).all()
    assert not filled[0, [0, 8]].any()
