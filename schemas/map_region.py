"""A part of the map of the objects, within a line that was drawn round it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError

ON_MAP = "on_map"
"""The field of conditions that such a part has to hold an object."""
MOST_CORNERS = 100
_LEAST_CORNERS = 3
_EXPECTED = (
    f"expected the time at which the map was made, in whole seconds, a colon, and x and y of "
    f"{_LEAST_CORNERS} to {MOST_CORNERS} corners on it, with commas between"
)
Corner = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MapRegion:
    """`corners` are x and y, in a map's own coordinates, of a polygon that is closed by itself.

    `made_at_s` says of which map, as coordinates mean other objects on every other one.
    """

    made_at_s: int
    corners: tuple[Corner, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The region that a text such as `1764400000:0,0,0.5,0,0.5,0.5` states.

        Raises UsageError for another text.
        """
        made_at, _, rest = text.partition(":")
        try:
            numbers = [float(each) for each in rest.split(",")]
            if len(numbers) % 2 or not all(map(math.isfinite, numbers)):
                raise ValueError(rest)
            corners = tuple(zip(numbers[::2], numbers[1::2], strict=True))
            if not _LEAST_CORNERS <= len(corners) <= MOST_CORNERS:
                raise ValueError(rest)
            return cls(int(made_at), corners)
        except ValueError as exc:
            raise UsageError(f"the filter field {ON_MAP!r}: {_EXPECTED}, got {text!r}") from exc


def find_within(
    positions: npt.NDArray[np.floating], corners: tuple[Corner, ...]
) -> npt.NDArray[np.bool_]:
    """Which points, (n, 2), lie inside of a polygon; bool (n,).

    A ray from each to the right crosses the border an odd number of times. Where the line crosses
    itself, what it goes round twice is outside.
    """
    x, y = np.asarray(positions, np.float64).T
    inside = np.zeros(len(positions), np.bool_)
    for (x0, y0), (x1, y1) in zip(corners[-1:] + corners[:-1], corners, strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside
