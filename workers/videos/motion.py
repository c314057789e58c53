"""Says where the object of a track may be by now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.masks import ObjectMask
from workers.videos.mask_patches import MaskPatch

Point = npt.NDArray[np.float64]
_NEWEST_SHARE = 0.7


def find_centre(mask: ObjectMask) -> Point:
    """The middle of its box, pixels: float64 (2,), x and y."""
    x0, y0, x1, y1 = mask.bbox_xyxy
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2])


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """The last mask of a track, seen at `time_s`, and how fast it moved, pixels a second."""

    time_s: float
    mask: ObjectMask
    patch: MaskPatch
    speed_xy: Point | None = None

    def follow(self, time_s: float, mask: ObjectMask, patch: MaskPatch) -> Motion:
        """As it goes on with the mask of a later frame."""
        speed = (find_centre(mask) - find_centre(self.mask)) / (time_s - self.time_s)
        if self.speed_xy is not None:
            speed = _NEWEST_SHARE * speed + (1 - _NEWEST_SHARE) * self.speed_xy
        return Motion(time_s, mask, patch, speed)

    def predict_shift(self, time_s: float) -> Point:
        """How far it may have moved since, if its speed has not changed, pixels: x and y."""
        speed = np.zeros(2) if self.speed_xy is None else self.speed_xy
        return speed * (time_s - self.time_s)
