"""Measures masks by their low-resolution logits, before anything is traced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_SIDE = 112  # logits to a crop's longer side: of more, not all are looked at

Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LowResMasks:
    """Of m masks: inside bool (m, n), which of n places each covers; areas_px float64 (m,).

    stability float64 (m,), 0 of an empty mask.
    """

    inside: Bools
    areas_px: Float64s
    stability: Float64s

    def __len__(self) -> int:
        return len(self.areas_px)

    def take(self, kept: Bools | Int64s) -> LowResMasks:
        """Those of bool (m,), or by their numbers."""
        return LowResMasks(self.inside[kept], self.areas_px[kept], self.stability[kept])

    def add(self, others: LowResMasks) -> LowResMasks:
        """These and then the others."""
        return LowResMasks(
            np.concatenate([self.inside, others.inside]),
            np.concatenate([self.areas_px, others.areas_px]),
            np.concatenate([self.stability, others.stability]),
        )


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of logits: a pixel of a mask is above `mask`, and how stable that is `offset` tells."""

    mask: float
    offset: float


class LowResMeter:
    """Measures masks of a crop (height, width) at places in it, float64 (n, 2), its pixels.

    spans_hw: the pixels that low_side logits stand for, down and across; by default the longer side
    for both.
    """

    def __init__(
        self,
        crop_hw: tuple[int, int],
        low_side: int,
        thresholds: Thresholds,
        places_xy: Float64s,
        spans_hw: tuple[int, int] | None = None,
    ) -> None:
        self.area_px = crop_hw[0] * crop_hw[1]
        self._thresholds = thresholds
        self._step = max(low_side // _SIDE, 1)
        spans_wh = (max(crop_hw),) * 2 if spans_hw is None else spans_hw[::-1]
        # To a measured logit's sides.
        self._pixels_wh = tuple(span * self._step / low_side for span in spans_wh)
        sides = zip(reversed(crop_hw), self._pixels_wh, strict=True)
        used_wh = (math.ceil(side / pixels) for side, pixels in sides)
        # In exact arithmetic the longer side has no more than there are.
        most = math.ceil(low_side / self._step)
        self._columns, self._rows = (min(side, most) for side in used_wh)
        cells = np.floor(places_xy / self._pixels_wh).clip(0, (self._columns - 1, self._rows - 1))
        self._at_x, self._at_y = torch.from_numpy(cells.astype(np.int64)).unbind(dim=1)

    @torch.inference_mode()
    def measure(self, logits: Tensor) -> LowResMasks:
        """float32 (m, rows, low_side), on any device; the last rows may be missing."""
        used = logits[:, :: self._step, :: self._step][:, : self._rows, : self._columns]
        mask, offset = self._thresholds.mask, self._thresholds.offset
        masks = used > mask
        at_y = self._at_y.clamp(max=used.shape[1] - 1).to(used.device)
        inside = masks[:, at_y, self._at_x.to(used.device)]
        sums = [(used > mask + sign * offset).sum((1, 2)) for sign in (0, 1, -1)]
        area, high, low = torch.stack(sums).cpu().numpy().astype(np.float64)
        return LowResMasks(
            inside.cpu().numpy(), area * math.prod(self._pixels_wh), high / low.clip(min=1)
        )
