"""Makes a mask obey the clicks that it answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from schemas.masks import BoolMask, CocoRle, ObjectMask
from workers.segmenters.prompt import Prompt

Int64s = npt.NDArray[np.int64]
RADIUS_PX = 2
"""Of what a click says, from which a refiner lets it grow to the colours; most errors are thin, and
disks of 5 spoil masks that are nearly right (on scenes of other seeds than those scored)."""


def obey_clicks(mask: ObjectMask, prompt: Prompt, before: ObjectMask | None = None) -> ObjectMask:
    """The mask with a disk round each click on the object that it leaves out, or off it covers.

    The disk is as in the mask `before`, which obeyed all clicks, else all inside or outside. The
    mask stays as it is where it obeys, or would be nothing then.
    """
    pixels = mask.rle.decode()
    earlier = None if before is None else before.rle.decode()
    was_obeyed = True
    for (x, y), label in zip(prompt.points_xy, prompt.labels, strict=True):
        row, column, inside = int(y), int(x), bool(label)
        if pixels[row, column] != inside:
            disk = _cut_disk(pixels, row, column)
            pixels[disk] = inside if earlier is None else earlier[disk]
            was_obeyed = False
    if was_obeyed or not pixels.any():
        return mask
    rle = CocoRle.from_mask(pixels)
    return replace(mask, rle=rle, bbox_xyxy=rle.bbox_xyxy, area_px=rle.area_px)


def _cut_disk(pixels: BoolMask, row: int, column: int) -> tuple[Int64s, Int64s]:
    """The rows and columns of the pixels round a place."""
    sides = np.arange(-RADIUS_PX, RADIUS_PX + 1)
    v, u = (side.ravel() for side in np.meshgrid(sides, sides, indexing="ij"))
    near = v**2 + u**2 <= RADIUS_PX**2
    rows, columns = row + v[near], column + u[near]
    height, width = pixels.shape
    within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return rows[within], columns[within]
