"""An orientation is what the file means, whatever type it is stored in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import IFDRational

from workers.images.orientation import parse_orientation

pytestmark = pytest.mark.trials


@pytest.mark.parametrize(
    "stored",
    [6, 6.0, IFDRational(6, 1), "6", "6\0", "\6", b"6", b"\6", b"\6\0", b"\0\6", (6,), (6, 1), [6]],
)
def test_six_is_six(stored: Any) -> None:
    assert parse_orientation(stored) == 6


@pytest.mark.parametrize(
    "stored",
    [
        None, 0, 1, 9, -6, 6.5, float("nan"), float("inf"), IFDRational(1, 0), "", "top", "66",
        b"", b"\0\0", b"\6\6", b"\x90", (), {}, object(), "\u20ac",
    ],
)  # fmt: skip
def test_what_is_no_orientation_turns_nothing(stored: Any) -> None:
    assert parse_orientation(stored) == 1


@given(st.one_of(st.binary(), st.text(), st.integers(), st.floats(), st.tuples(st.binary())))
def test_anything_is_read_as_one_to_eight(stored: Any) -> None:
    assert parse_orientation(stored) in range(1, 9)
