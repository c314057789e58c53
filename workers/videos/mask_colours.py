"""Measures the colours of masks, by which objects are known again from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.images import UInt8Image
from schemas.records import Float32Matrix
from workers.videos.colour_histograms import measure_histograms
from workers.videos.mask_patches import MaskPatch

_MOST_PIXELS = 256
"""Of each mask."""


def measure_colours(pixels: UInt8Image, patches: Sequence[MaskPatch]) -> Float32Matrix:
    """Unit vectors whose products are Bhattacharyya coefficients: float32 (len(patches), bins).

    pixels: uint8 (height, width, 3), the frame of the masks. They are the roots of the shares of
    colours; a mask that has no pixel at the points of its patch has zeros.
    """
    inside = [_take_inside(pixels, patch) for patch in patches]
    groups = np.repeat(np.arange(len(patches)), [len(taken) for taken in inside])
    taken = np.concatenate([np.zeros((0, 3), np.uint8), *inside]).astype(np.float32)
    return np.sqrt(measure_histograms(taken, groups, len(patches))).astype(np.float32)


def _take_inside(pixels: UInt8Image, patch: MaskPatch) -> UInt8Image:
    rows, columns = patch.pixels.nonzero()
    every = max(1, -(-len(rows) // _MOST_PIXELS))
    y, x = patch.y + rows[::every], patch.x + columns[::every]
    return pixels[y * patch.step_px, x * patch.step_px]
