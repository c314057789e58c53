"""Decodes images with libvips: another decoder to hold ours against."""

from __future__ import annotations

import numpy as np
import pyvips


def decode_by_libvips(data: bytes) -> np.ndarray:
    """uint8 (height, width, 3): upright, in sRGB by its profile, over white."""
    image = pyvips.Image.new_from_buffer(data, "").autorot()
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="perceptual", depth=8)
    image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=[255] * (image.bands - 1))
    pixels: np.ndarray = image.cast("uchar").numpy()
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
