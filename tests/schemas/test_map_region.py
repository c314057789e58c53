"""Parts of a map, and which points lie in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.map_region import MOST_CORNERS, MapRegion, find_within

SQUARE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
# A horseshoe that is open at the top.
HORSESHOE = ((0, 0), (6, 0), (6, 4), (4, 4), (4, 2), (2, 2), (2, 4), (0, 4))
# A bow tie: two triangles that meet at the middle.
BOW = ((0, 0), (4, 4), (4, 0), (0, 4))


@pytest.mark.parametrize(
    ("corners", "points", "expected"),
    [
        (SQUARE, [(0, 0), (0.49, -0.49), (0.51, 0), (0, -0.51), (-2, 0.1)], [1, 1, 0, 0, 0]),
        (HORSESHOE, [(1, 3), (5, 3), (3, 1), (3, 3), (7, 1)], [1, 1, 1, 0, 0]),
        (BOW, [(0.5, 2), (3.5, 2), (2, 0.5), (2, 3.5)], [1, 1, 0, 0]),
        (SQUARE, [], []),
    ],
)
def test_points_lie_inside_or_outside(
    corners: tuple[tuple[float, float], ...],
    points: list[tuple[float, float]],
    expected: list[int],
) -> None:
    found = find_within(np.array(points, np.float32).reshape(-1, 2), corners)
    assert found.tolist() == list(map(bool, expected))


@given(st.integers(0, 3), st.booleans(), st.tuples(*[st.floats(-1, 1)] * 2))
def test_where_the_line_begins_and_which_way_it_goes_do_not_matter(
    begin: int, backwards: bool, point: tuple[float, float]
) -> None:
    corners = SQUARE[begin:] + SQUARE[:begin]
    turned = corners[::-1] if backwards else corners
    places = np.array([point])
    assert find_within(places, turned) == find_within(places, SQUARE)


def test_a_text_states_a_region() -> None:
    region = MapRegion.parse("1764400000:0,-0.5,1,0,0.25,1e-3")
    assert region == MapRegion(1_764_400_000, ((0, -0.5), (1, 0), (0.25, 0.001)))


@pytest.mark.parametrize(
    "text",
    [
        *["", "7", "7:", ":0,0,1,0,1,1", "7:0,0,1,0", "7:0,0,1,0,1", "7:0,0,1,0,nan,1"],
        *["x:0,0,1,0,1,1", "7:0,0,1,0,a,1", "7:" + ",".join(["0"] * 2 * (MOST_CORNERS + 1))],
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected the time at which the map was made"):
        MapRegion.parse(text)
