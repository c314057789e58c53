"""Chooses the part of an image in which a small object is looked at again, and maps logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from schemas.boxes import BoxXyxy

OUTSIDE = -8.0
"""The highest logit where there is no object for certain."""
_MARGIN = 0.15
_MOST_RATIO = 1.5
Part = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of an image, in pixels."""
Square = tuple[int, int, int]
"""What a model's frame shows: left, top and side, in pixels of the image."""


@dataclass(frozen=True, slots=True)
class Zoom:
    """How a part is chosen: `of_box` and `of_mask` times as long as a drawn box or a found mask.

    Never under the share `least` of the image's longer side; where it were over `most` of it, there
    is nothing to be gained.
    """

    of_box: float
    of_mask: float
    least: float
    most: float


def find_bounds(mask: Tensor, square: Square) -> BoxXyxy | None:
    """Around a mask, bool (side, side) of a frame: pixels of the image; None if it is empty."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    if not len(rows):
        return None
    left, top, side = square
    scale = side / len(mask)
    return (
        left + scale * float(columns[0]),
        top + scale * float(rows[0]),
        left + scale * float(columns[-1] + 1),
        top + scale * float(rows[-1] + 1),
    )


def choose_square(
    zoom: Zoom, bounds: BoxXyxy, size_hw: tuple[int, int], *, has_box: bool
) -> Part | None:
    """The part round `bounds`, cut to the image; None where the whole image shows it as well."""
    height, width = size_hw
    longer = max(size_hw)
    x0, y0, x1, y1 = bounds
    side = max(x1 - x0, y1 - y0) * (zoom.of_box if has_box else zoom.of_mask)
    side = max(side, zoom.least * longer)
    if side > zoom.most * longer:
        return None
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    part = _cut((left, top, left + side, top + side), (0, 0, width, height))
    return part if part[2] - part[0] > 1 and part[3] - part[1] > 1 else None


def is_near(part: Part, bounds: BoxXyxy, wanted: Part) -> bool:
    """Whether a part serves as well as the wanted one for what lies in `bounds`."""
    x0, y0, x1, y1 = bounds
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    needed = _cut((x0 - margin, y0 - margin, x1 + margin, y1 + margin), wanted)
    ratio = _find_side(part) / _find_side(wanted)
    return _cut(needed, part) == needed and 1 / _MOST_RATIO <= ratio <= _MOST_RATIO


def _find_side(part: Part) -> int:
    return max(part[2] - part[0], part[3] - part[1])


def _cut(box: BoxXyxy, limits: Part) -> Part:
    """What of a box lies within limits, in whole pixels."""
    x0, y0, x1, y1 = (round(side) for side in box)
    return max(x0, limits[0]), max(y0, limits[1]), min(x1, limits[2]), min(y1, limits[3])


def resample(
    logits: Tensor, shown: Square, wanted: Square, elsewhere: Tensor | None = None
) -> Tensor:
    """Logits (side, side) of one square as those of another, bilinearly.

    Where the first does not reach: `elsewhere`, (side, side), or its nearest.
    """
    count = len(logits)
    centres = (torch.arange(count, device=logits.device) + 0.5) / count * wanted[2]
    x = 2 * (centres + (wanted[0] - shown[0])) / shown[2] - 1
    y = 2 * (centres + (wanted[1] - shown[1])) / shown[2] - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    sampled: Tensor = functional.grid_sample(
        logits[None, None], grid[None], padding_mode="border", align_corners=False
    )[0, 0]
    if elsewhere is None:
        return sampled
    reached = (x.abs() <= 1)[None, :] & (y.abs() <= 1)[:, None]
    return torch.where(reached, sampled, elsewhere)
