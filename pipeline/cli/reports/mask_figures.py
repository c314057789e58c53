"""Names the figures of found masks, in the groups in which they are read."""

from __future__ import annotations

PRECISION = {
    "ap": "AP",
    "ap_50": "AP at IoU 0.5",
    "ap_75": "AP at IoU 0.75",
    "ap_small": "AP, small (up to 32 x 32 px)",
    "ap_medium": "AP, medium",
    "ap_large": "AP, large (from 96 x 96 px)",
    "boundary_ap": "boundary AP",
    "ar_100_by_class": "AR, 100 masks of a class and image",
    "ap_any_class": "AP of any class",
    "ap_any_class_50": "the same at IoU 0.5",
    "ap_any_class_75": "the same at IoU 0.75",
    "ap_any_class_small": "the same, small",
    "ap_any_class_medium": "the same, medium",
    "ap_any_class_large": "the same, large",
    "boundary_ap_any_class": "boundary AP of any class",
    "ar_10": "AR of any class, 10 masks an image",
    "ar_100": "the same, 100 masks",
    "ar_1000": "the same, 1000 masks",
    "ar_1000_small": "the same, small",
    "ar_1000_medium": "the same, medium",
    "ar_1000_large": "the same, large",
}
PAIRS = {
    "mean_iou": "mean IoU of pairs",
    "mean_boundary_iou": "mean Boundary IoU of pairs",
    "contour_f": "mean F of pairs' contours",
}
SEGMENTS = {
    "pq": "PQ, mean over classes",
    "sq": "SQ, how well segments fit",
    "rq": "RQ, how many are right",
    "pq_any_class": "PQ of any class",
    "sq_any_class": "SQ of any class",
    "rq_any_class": "RQ of any class",
    "miou": "mIoU of classes, without background",
    "frequency_weighted_iou": "the same, weighted by pixels",
}
ROWS = PRECISION | PAIRS | SEGMENTS
GROUPS = {
    "Average precision and recall": PRECISION,
    "Pairs of a found and a true mask with an IoU of 0.5 or more": PAIRS,
    "Segments and pixels": SEGMENTS,
}
