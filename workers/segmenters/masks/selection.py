"""Drops masks of an image that are equal, overlap, are parts of others or of no wanted size.

That is non-maximum suppression on masks; the one on boxes is in `candidates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torchvision.ops import nms

from schemas.masks import ObjectMask
from schemas.nesting import find_parents
from schemas.options import SegmenterOptions
from schemas.overlaps import mask_ios, mask_iou
from workers.refiners.small_regions import remove_small_regions

_AGREEMENT_IOU = 0.5


def drop_equal(masks: Iterable[ObjectMask]) -> list[ObjectMask]:
    """Keep, of equal masks, the one with the highest predicted IoU.

    segment-anything takes the area of a box one pixel wide for 0, so its NMS keeps equal masks.
    """
    rising = sorted(masks, key=lambda mask: mask.sureness)
    return list({mask.rle: mask for mask in rising}.values())


def clean_regions(
    masks: Sequence[ObjectMask], min_area_px: int, nms_thresh: float
) -> list[ObjectMask]:
    """Remove small holes and islands; of masks that become duplicates, unchanged ones stay."""
    clean = [_clean(mask, min_area_px) for mask in masks]
    if not clean:
        return clean
    boxes = torch.tensor([mask.bbox_xyxy for mask in clean], dtype=torch.float32)
    unchanged = [float(new is old) for new, old in zip(clean, masks, strict=True)]
    return [clean[i] for i in nms(boxes, torch.tensor(unchanged), nms_thresh).tolist()]


def _clean(mask: ObjectMask, min_area_px: int) -> ObjectMask:
    rle = remove_small_regions(mask.rle, min_area_px)
    clean = ObjectMask.measure(
        rle,
        predicted_iou=mask.predicted_iou,
        stability_score=mask.stability_score,
        point_xy=mask.point_xy,
        segmenter_label=mask.segmenter_label,
        segmenter_score=mask.segmenter_score,
    )
    return mask if rle == mask.rle or clean is None else clean


def drop_overlaps(masks: Sequence[ObjectMask], threshold: float) -> list[ObjectMask]:
    """Keep, of masks with an IoU above `threshold`, the surest one with the most agreement.

    What decides is the predicted IoU plus the mean IoU with all masks that overlap a mask by half,
    itself among them: a mask that many points lead to is right more often than one of a single
    point.
    """
    if threshold >= 1 or not masks:
        return sorted(masks, key=lambda mask: -mask.sureness)
    rles = [mask.rle for mask in masks]
    iou = mask_iou(rles, rles)
    alike = iou > _AGREEMENT_IOU
    agreement = (iou * alike).sum(axis=1) / alike.sum(axis=1)
    sure = np.array([mask.sureness for mask in masks]) + agreement
    kept: list[int] = []
    for row in np.argsort(-sure, kind="stable").tolist():
        if not (iou[row, kept] > threshold).any():
            kept.append(row)
    return [masks[row] for row in kept]


def drop_parts(masks: Sequence[ObjectMask], threshold: float) -> list[ObjectMask]:
    """Drop masks of which more than `threshold` lies in a larger one that is no less sure."""
    if threshold >= 1 or not masks:
        return list(masks)
    rles = [mask.rle for mask in masks]
    area = np.array([mask.area_px for mask in masks])
    sure = np.array([mask.sureness for mask in masks])
    inside = mask_ios(rles, rles) > threshold
    part = inside & (area[:, None] < area) & (sure[:, None] <= sure)
    return [masks[row] for row in np.flatnonzero(~part.any(axis=1)).tolist()]


def select_masks(masks: Sequence[ObjectMask], options: SegmenterOptions) -> list[ObjectMask]:
    """Keep the masks within the limits of `options`, largest first.

    What is a part is told among the masks within the limits of area.
    """
    low, high = options.min_area_frac, options.max_area_frac
    ordered = sorted((mask for mask in masks if low <= mask.area_frac <= high), key=order_by_size)
    if options.levels == "wholes":
        parents = find_parents([mask.rle for mask in ordered])
        ordered = [mask for mask, parent in zip(ordered, parents, strict=True) if parent is None]
    best = sorted(ordered, key=lambda mask: -mask.sureness)[: options.max_objects]
    return sorted(best, key=order_by_size)


def describe_limits(options: SegmenterOptions) -> dict[str, object]:
    """What `select_masks` keeps, for a fingerprint."""
    limits = options.model_dump(include={"max_objects", "min_area_frac", "max_area_frac"})
    # Named only where it is not the default, which older pipelines have without a name for it.
    return limits if options.levels == "all" else {**limits, "levels": options.levels}


def order_by_size(mask: ObjectMask) -> tuple[object, ...]:
    """A key that sorts masks largest first, and equally large ones always the same."""
    return (-mask.area_px, mask.bbox_xyxy, mask.rle.counts, -mask.sureness, mask.point_xy)
