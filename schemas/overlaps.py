"""Compares masks: IoU, and IoS (intersection over the smaller)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from schemas.masks import BoolMask, CocoRle, measure_area

Overlaps = npt.NDArray[np.float64]


def mask_iou(masks: Sequence[CocoRle], others: Sequence[CocoRle]) -> Overlaps:
    """Intersection over union of every mask with every other one: float64 (masks, others).

    Masks of different sizes overlap by 0. Raises ValueError for an invalid RLE.
    """
    return _compare(masks, others, crowd=False)


def best_iou(masks: Sequence[CocoRle], wanted: Sequence[CocoRle]) -> Overlaps:
    """The highest IoU of any mask with each that is wanted: float64 (wanted,); 0 without masks."""
    best: Overlaps = mask_iou(masks, wanted).max(axis=0, initial=0.0)
    return best


def mask_ios(masks: Sequence[CocoRle], others: Sequence[CocoRle]) -> Overlaps:
    """Intersection over the smaller area of every mask with every other one, as in `mask_iou`."""
    areas, other_areas = (np.array([measure_area(rle) for rle in rles]) for rles in (masks, others))
    # Against a crowd, COCO divides by the first mask's area alone.
    shares = _compare(masks, others, crowd=True)
    if not shares.size:
        return shares
    intersections = np.rint(shares * areas[:, None])
    ios: Overlaps = intersections / np.minimum(areas[:, None], other_areas).clip(min=1)
    return ios


def unite_rles(masks: Sequence[CocoRle], size_hw: tuple[int, int]) -> BoolMask:
    """What any of the masks, all of this size, covers: bool (height, width).

    Raises ValueError for an invalid RLE.
    """
    if not masks:
        return np.zeros(size_hw, np.bool_)
    for rle in masks:
        measure_area(rle)
    merged = coco.merge([_encode(rle) for rle in masks])
    return CocoRle(size_hw, merged["counts"].decode("ascii")).decode()


def _compare(masks: Sequence[CocoRle], others: Sequence[CocoRle], *, crowd: bool) -> Overlaps:
    # pycocotools would never end, or read foreign memory, on an RLE that does not fit its size.
    for rle in (*masks, *others):
        measure_area(rle)
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    encoded, other_encoded = ([_encode(rle) for rle in rles] for rles in (masks, others))
    overlaps: Overlaps = coco.iou(encoded, other_encoded, [int(crowd)] * len(others))
    return overlaps.clip(min=0)  # -1 stands for masks of different sizes


def _encode(rle: CocoRle) -> dict[str, object]:
    return {"size": rle.size_hw, "counts": rle.counts}
