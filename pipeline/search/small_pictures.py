"""Shrinks pictures to a few pixels, and measures how much two of them differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.images import UInt8Image

SmallPicture = npt.NDArray[np.float32]
"""float32 (32, 32, 3): a picture of any size and proportions, squeezed."""
_SIDE_PX = 32
_LEAST_CONTRAST = 8.0  # of 255: pictures with less are all alike


def shrink(picture: UInt8Image) -> SmallPicture:
    """The few pixels of a picture, uint8 (height, width, 3)."""
    side = (_SIDE_PX, _SIDE_PX)
    return np.asarray(Image.fromarray(picture).resize(side, Image.Resampling.BOX), np.float32)


def measure_difference(picture: SmallPicture, other: SmallPicture) -> float:
    """The root mean square of the difference, over the first one's standard deviation."""
    difference = np.sqrt(np.mean((picture - other) ** 2))
    return float(difference / max(picture.std(), _LEAST_CONTRAST))
