"""Measures which colours are a mask's and which are of what lies around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.images import UInt8Image
from schemas.masks import CocoRle
from workers.refiners.band_field import Float32s, measure_distance

Bins = npt.NDArray[np.intp]
AROUND_PX = (4, 25)
"""What lies around a mask begins and ends so far from its border."""
_SHIFT = 3  # levels of a channel to bins: 32
_BINS = 256 >> _SHIFT
_LEAST = 1 / 4096  # the share of a colour that is nowhere: then it speaks for neither


def fit_colours(image: UInt8Image, rle: CocoRle) -> Float32s:
    """Log odds of each colour, of the mask against what lies around it: float32 (bins,).

    Of a mask, which is not empty, of uint8 (height, width, 3) RGB; zeros if nothing is around it.
    By histograms (Y. Boykov and M.-P. Jolly, 2001), of all three channels at once, each bin with a
    share in its neighbours.
    """
    first, last = AROUND_PX
    left, top, right, bottom = rle.bbox_xyxy
    rows = slice(max(top - last, 0), bottom + last)
    left, right = max(left - last, 0), min(right + last, image.shape[1])
    mask = np.ascontiguousarray(rle.decode_columns(left, right)[rows])
    bins = find_bins(image[rows, left:right])
    distance = measure_distance(mask, last)
    around = (distance <= -first) & (distance >= -last)
    if not around.any():
        return np.zeros(_BINS**3, np.float32)
    inside, outside = (_measure_shares(bins[part]) + _LEAST for part in (mask, around))
    return np.log(inside / outside).astype(np.float32)


def find_bins(pixels: UInt8Image) -> Bins:
    """Where in such log odds each pixel's colour stands: uint8 (..., 3) to its leading axes."""
    red, green, blue = np.moveaxis(pixels >> _SHIFT, -1, 0).astype(np.intp)
    bins: Bins = (red * _BINS + green) * _BINS + blue
    return bins


def _measure_shares(bins: Bins) -> npt.NDArray[np.float64]:
    """The share of each bin, in each channel half its own and a quarter of either neighbour's."""
    shares = np.bincount(bins, minlength=_BINS**3).reshape(_BINS, _BINS, _BINS) / len(bins)
    for axis in range(3):
        planes = np.moveaxis(shares, axis, 0)
        spread = planes / 2
        spread[1:] += planes[:-1] / 4
        spread[:-1] += planes[1:] / 4
        shares = np.moveaxis(spread, 0, axis)
    return shares.ravel()
