"""Keeps refined masks true to the clicks that they answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.masks import CocoRle, ObjectMask
from workers.segmenters.prompt import Prompt

REACH_PX = 12
"""So far round a click the mask stays as it was: twice as far as a refiner moves its border."""


def obey_clicks(refined: ObjectMask, mask: ObjectMask, prompt: Prompt) -> ObjectMask:
    """A refined mask, as before round clicks of a prompt that it does no longer obey.

    Clicks that the mask itself did not obey change nothing.
    """
    before, pixels = mask.rle.decode(), refined.rle.decode()
    broken = False
    for (x, y), label in zip(prompt.points_xy, prompt.labels, strict=True):
        row, column = int(y), int(x)
        if before[row, column] == bool(label) != pixels[row, column]:
            rows = slice(max(row - REACH_PX, 0), row + REACH_PX + 1)
            columns = slice(max(column - REACH_PX, 0), column + REACH_PX + 1)
            v, u = np.ogrid[rows.start : min(rows.stop, len(before)), : before.shape[1]]
            near = (v - row) ** 2 + (u[:, columns] - column) ** 2 <= REACH_PX**2
            pixels[rows, columns] = np.where(near, before[rows, columns], pixels[rows, columns])
            broken = True
    if not broken:
        return refined
    rle = CocoRle.from_mask(pixels)
    return replace(refined, rle=rle, bbox_xyxy=rle.bbox_xyxy, area_px=rle.area_px)
