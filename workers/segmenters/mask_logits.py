"""Turns a mask of an image into the logits that a mask decoder is prompted with."""

from __future__ import annotations

import numpy as np
from PIL import Image

from schemas.masks import BoolMask
from workers.segmenter_protocols import Float32Logits

_REACH = 10.0
"""Logits of a pixel inside and, negated, of one outside: what SAM 2 makes of a mask that it gets
(N. Ravi et al., 2024; `_use_mask_as_output` in its code)."""


def frame_logits(mask: BoolMask, crop_hw: tuple[int, int], side: int) -> Float32Logits:
    """Logits of a mask, bool (height, width), in a model's square frame: float32 (side, side).

    The longer side of `crop_hw`, which is the mask's size or that with padding below and to the
    right, fills the frame; the rest is outside. Each logit is from -10 to 10 by the share of its
    pixels that are inside: 0 where the mask's border goes through the middle.
    """
    scale = side / max(crop_hw)
    height, width = (max(round(length * scale), 1) for length in mask.shape)
    shares = Image.fromarray(mask.astype(np.float32), "F").resize(
        (width, height), Image.Resampling.BOX
    )
    logits = np.full((side, side), -_REACH, np.float32)
    logits[:height, :width] = (2 * np.asarray(shares, np.float32) - 1) * _REACH
    return logits
