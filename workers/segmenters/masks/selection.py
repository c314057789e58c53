"""Which masks of an image stay, and what is measured of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from pycocotools import mask as coco
from torchvision.ops import nms

from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.masks.small_regions import remove_small_regions

_ALIKE_IOU = 0.5


def measured(
    rle: CocoRle, *, predicted_iou: float, stability_score: float, point_xy: tuple[float, float]
) -> ObjectMask | None:
    """The mask with its box and area; None if it is empty."""
    encoded = _encoded(rle)
    area = int(coco.area(encoded))
    if not area:
        return None
    x, y, width, height = (int(side) for side in coco.toBbox(encoded))
    return ObjectMask(
        rle, (x, y, x + width, y + height), area, predicted_iou, stability_score, point_xy
    )


def distinct(masks: Iterable[ObjectMask]) -> list[ObjectMask]:
    """Of equal masks, the one with the highest predicted IoU.

    The package takes the area of a box one pixel wide for 0, so its NMS keeps equal masks.
    """
    rising = sorted(masks, key=lambda mask: mask.predicted_iou)
    return list({mask.rle: mask for mask in rising}.values())


def cleaned(masks: Sequence[ObjectMask], min_area_px: int, nms_thresh: float) -> list[ObjectMask]:
    """Masks without small holes and islands; of what are duplicates then, unchanged ones stay."""
    clean = [_clean(mask, min_area_px) for mask in masks]
    if not clean:
        return clean
    boxes = torch.tensor([mask.bbox_xyxy for mask in clean], dtype=torch.float32)
    unchanged = [float(new is old) for new, old in zip(clean, masks, strict=True)]
    return [clean[i] for i in nms(boxes, torch.tensor(unchanged), nms_thresh).tolist()]


def _clean(mask: ObjectMask, min_area_px: int) -> ObjectMask:
    rle = remove_small_regions(mask.rle, min_area_px)
    clean = measured(
        rle,
        predicted_iou=mask.predicted_iou,
        stability_score=mask.stability_score,
        point_xy=mask.point_xy,
    )
    return mask if rle == mask.rle or clean is None else clean


def without_overlaps(masks: Sequence[ObjectMask], threshold: float) -> list[ObjectMask]:
    """Of masks with an IoU above `threshold`, the one that is surest and has most agreement.

    What decides is the predicted IoU plus the mean IoU with all masks that overlap a mask by half,
    itself among them: what many points lead to is right more often than what one does.
    """
    if threshold >= 1 or not masks:
        return sorted(masks, key=lambda mask: -mask.predicted_iou)
    rles = [_encoded(mask.rle) for mask in masks]
    iou = coco.iou(rles, rles, [0] * len(rles))
    alike = iou > _ALIKE_IOU
    agreement = (iou * alike).sum(axis=1) / alike.sum(axis=1)
    sure = np.array([mask.predicted_iou for mask in masks]) + agreement
    kept: list[int] = []
    for row in np.argsort(-sure, kind="stable").tolist():
        if not (iou[row, kept] > threshold).any():
            kept.append(row)
    return [masks[row] for row in kept]


def without_parts(masks: Sequence[ObjectMask], threshold: float) -> list[ObjectMask]:
    """Masks but those of which more than `threshold` lies in a larger one that is no less sure."""
    if threshold >= 1 or not masks:
        return list(masks)
    rles = [_encoded(mask.rle) for mask in masks]
    # Against a crowd, COCO divides by the first mask's area alone.
    inside = coco.iou(rles, rles, [1] * len(rles)) > threshold
    area = np.array([mask.area_px for mask in masks])
    sure = np.array([mask.predicted_iou for mask in masks])
    part = inside & (area[:, None] < area) & (sure[:, None] <= sure)
    return [mask for mask, drop in zip(masks, part.any(axis=1), strict=True) if not drop]


def _encoded(rle: CocoRle) -> dict[str, object]:
    return {"size": rle.size_hw, "counts": rle.counts}


def selected(masks: Sequence[ObjectMask], options: SegmenterOptions) -> list[ObjectMask]:
    """Masks within the limits of `options`, largest first."""
    low, high = options.min_area_frac, options.max_area_frac
    ordered = sorted((mask for mask in masks if low <= mask.area_frac <= high), key=_order)
    best = sorted(ordered, key=lambda mask: -mask.predicted_iou)[: options.max_objects]
    return sorted(best, key=_order)


def _order(mask: ObjectMask) -> tuple[object, ...]:
    return (-mask.area_px, mask.bbox_xyxy, mask.rle.counts, -mask.predicted_iou, mask.point_xy)
