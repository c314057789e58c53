"""Measures which colours there are among pixels, in the cone of HSV."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Histograms = npt.NDArray[np.float64]
_CONE = (5, 7, 7)
BINS = math.prod(_CONE)


def measure_histograms(
    pixels: npt.NDArray[np.float32], groups: npt.NDArray[np.intp], count: int
) -> Histograms:
    """float64 (count, BINS): the shares of the colours of each group; 0 of a group without pixels.

    pixels: float32 (n, 3) RGB, 0 to 255; groups: intp (n,), of which each is one.
    By value, and by hue and saturation as a point of the plane across it (Hanbury, The taming of
    the hue, saturation and brightness colour space, 2002): there is no place in it where a small
    change makes a large one. For the same reason each pixel counts in the eight bins around it.
    """
    places = _find_places(pixels)
    lower = np.minimum(places.astype(np.intp), np.array(_CONE) - 2)
    upper_share = places - lower
    sides = (1 - upper_share).T, upper_share.T
    first = np.ravel_multi_index(tuple(lower.T), _CONE) + groups * BINS
    sums = np.zeros(count * BINS)
    for corner in np.ndindex(2, 2, 2):
        weights = math.prod(sides[side][axis] for axis, side in enumerate(corner))
        bins = first + np.ravel_multi_index(corner, _CONE)
        sums += np.bincount(bins, weights, len(sums))
    sizes = np.bincount(groups, minlength=count).clip(min=1)
    shares: Histograms = sums.reshape(count, BINS) / sizes[:, None]
    return shares


def _find_places(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 (n, 3): places among the bins, 0 to one less than `_CONE`."""
    red, green, blue = pixels.T / 255
    along = red - (green + blue) / 2
    across = (green - blue) * math.sqrt(0.75)
    value = pixels.max(-1) / 255
    unit = np.stack([value, (along + 1) / 2, (across + 1) / 2], -1)
    return unit * (np.array(_CONE, np.float32) - 1)
