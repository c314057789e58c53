"""Compares the boundaries of masks: Boundary IoU, and the F measure of contours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.masks.detections import Floats, ImageMasks, count_pixels, find_runs
from schemas.masks import BoolMask, CocoRle, RunLengths
from workers.numba_jit import jit_exact

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, half-open, pixels of the image."""
BOUNDARY_SHARE = 0.02
"""Of the image's diagonal (B. Cheng et al., "Boundary IoU", 2021)."""
CONTOUR_SHARE = 0.008
"""Of the image's diagonal (F. Perazzi et al., the DAVIS benchmark, 2016)."""


def find_boundary_width(size_hw: tuple[int, int], share: float = BOUNDARY_SHARE) -> int:
    """How far boundaries reach into masks of an image, pixels, at least one."""
    return max(1, round(share * math.hypot(*size_hw)))


def find_contour_tolerance(size_hw: tuple[int, int]) -> int:
    """How far a contour may be from the other, pixels."""
    return math.ceil(CONTOUR_SHARE * math.hypot(*size_hw))


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The part of a mask in its box: bool (height, width), with its upper left corner."""

    pixels: BoolMask
    x: int
    y: int
    area_px: int


def cut_boundary(rle: CocoRle, width_px: int) -> Patch:
    """The pixels of a mask within `width_px` of one that is not in it, as a king moves.

    Beyond the image nothing is in it. Raises ValueError for an invalid RLE.
    """
    box = _find_box(find_runs(rle), rle.size_hw[0])
    boundary = _keep_boundary(_fill_box(find_runs(rle), rle.size_hw[0], box), width_px)
    return Patch(boundary, box[0], box[1], int(np.count_nonzero(boundary)))


def measure_boundary_overlaps(image: ImageMasks, iou: Floats, width_px: int) -> Floats:
    """The lower of IoU and Boundary IoU of every found mask with every true one.

    float64 (found, true), of the shape of `iou`. With crowds it is `iou`: they have no boundary.
    """
    found: dict[int, Patch] = {}
    true: dict[int, Patch] = {}
    lower = iou.copy()
    for row, column in np.argwhere(iou > 0).tolist():
        if image.true[column].is_crowd:
            continue
        if row not in found:
            found[row] = cut_boundary(image.found[row].rle, width_px)
        if column not in true:
            true[column] = cut_boundary(image.true[column].rle, width_px)
        lower[row, column] = min(iou[row, column], _measure_iou(found[row], true[column]))
    return lower


def measure_boundary_iou(rle: CocoRle, other: CocoRle, width_px: int) -> float:
    """The IoU of two masks' boundaries, 0 if both are empty; masks of one size."""
    return _measure_iou(cut_boundary(rle, width_px), cut_boundary(other, width_px))


def measure_contour_f(rle: CocoRle, true: CocoRle, tolerance_px: int) -> float:
    """The F measure of two masks' contours: the harmonic mean of precision and recall.

    A pixel of a contour is right if the other's contour has one within `tolerance_px`. Without any
    contour to be found, or found, that share is 1 where the other has none either, else 0
    (db_eval_boundary of DAVIS).
    """
    box = _unite_boxes([rle, true], margin=1)
    contours = [
        _draw_contour(_fill_box(find_runs(mask), mask.size_hw[0], box)) for mask in (rle, true)
    ]
    sizes = [int(np.count_nonzero(contour)) for contour in contours]
    if 0 in sizes:
        # Of no pixels all are right, none of those that nothing is near.
        precision, recall = float(not sizes[0]), float(not sizes[1])
    else:
        precision = _count_near(contours[0], contours[1], tolerance_px) / sizes[0]
        recall = _count_near(contours[1], contours[0], tolerance_px) / sizes[1]
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _measure_iou(patch: Patch, other: Patch) -> float:
    common = _count_common(patch.pixels, patch.x, patch.y, other.pixels, other.x, other.y)
    union = patch.area_px + other.area_px - common
    return common / union if union else 0.0


def _unite_boxes(rles: Sequence[CocoRle], margin: int) -> Box:
    """Around all of them and `margin` pixels more, within the image."""
    height, width = rles[0].size_hw
    found = (_find_box(find_runs(rle), height) for rle in rles if count_pixels(rle))
    x0, y0, x1, y1 = zip(*(list(found) or [(0, 0, 0, 0)]), strict=True)
    return (
        max(min(x0) - margin, 0), max(min(y0) - margin, 0),
        min(max(x1) + margin, width), min(max(y1) + margin, height),
    )  # fmt: skip


@jit_exact
def _find_box(runs: RunLengths, height: int) -> Box:
    """Around the pixels of a mask, half-open; zeros if there are none."""
    left, top, right, bottom, at = 1 << 62, 1 << 62, 0, 0, 0
    for place in range(len(runs)):
        stop = at + runs[place]
        if place % 2 and runs[place]:
            left, right = min(left, at // height), max(right, (stop - 1) // height + 1)
            if at // height == (stop - 1) // height:
                top, bottom = min(top, at % height), max(bottom, (stop - 1) % height + 1)
            else:
                top, bottom = 0, height
        at = stop
    return (left, top, right, bottom) if right else (0, 0, 0, 0)


@jit_exact
def _fill_box(runs: RunLengths, height: int, box: Box) -> BoolMask:
    """The pixels of a mask in a box: bool (height, width) of the box."""
    x0, y0, x1, y1 = box
    mask = np.zeros((y1 - y0, x1 - x0), np.bool_)
    at = 0
    for place in range(len(runs)):
        stop = at + runs[place]
        if place % 2:
            for x in range(max(at // height, x0), min((stop - 1) // height + 1, x1)):
                column = x * height
                mask[max(at - column, y0) - y0 : max(min(stop - column, y1) - y0, 0), x - x0] = True
        at = stop
    return mask


def _draw_contour(mask: BoolMask) -> BoolMask:
    """Pixels that differ from the one to the right, below or both: seg2bmap of DAVIS.

    Those of the last row and column have no such neighbours and are compared with the others.
    """
    right, below, both = mask.copy(), mask.copy(), mask.copy()
    right[:, :-1] = mask[:, 1:]
    below[:-1] = mask[1:]
    both[:-1, :-1] = mask[1:, 1:]
    contour: BoolMask = (mask != right) | (mask != below) | (mask != both)
    contour[-1] = mask[-1] != right[-1]
    contour[:, -1] = mask[:, -1] != below[:, -1]
    contour[-1:, -1:] = False
    return contour


@jit_exact
def _keep_boundary(mask: BoolMask, width_px: int) -> BoolMask:
    """What of a mask, cut to its box, an erosion by a square of 2 `width_px` + 1 takes."""
    height, width = mask.shape
    kept = np.zeros((height, width), np.bool_)
    # How far the mask goes on up and down, as far as it matters.
    deep = np.zeros((height, width), np.bool_)
    for x in range(width):
        since = 0
        for y in range(height):
            since = since + 1 if mask[y, x] else 0
            if since > 2 * width_px:
                deep[y - width_px, x] = True
    for y in range(height):
        since = 0
        for x in range(width):
            since = since + 1 if deep[y, x] else 0
            if since > 2 * width_px:
                kept[y, x - width_px] = True
    for y in range(height):
        for x in range(width):
            kept[y, x] = mask[y, x] and not kept[y, x]
    return kept


@jit_exact
def _count_common(
    pixels: BoolMask, x: int, y: int, others: BoolMask, other_x: int, other_y: int
) -> int:
    """The pixels of both patches."""
    count = 0
    top, left = max(y, other_y), max(x, other_x)
    bottom = min(y + pixels.shape[0], other_y + others.shape[0])
    right = min(x + pixels.shape[1], other_x + others.shape[1])
    for v in range(top, bottom):
        for u in range(left, right):
            if pixels[v - y, u - x] and others[v - other_y, u - other_x]:
                count += 1
    return count


@jit_exact
def _count_near(contour: BoolMask, others: BoolMask, tolerance_px: int) -> int:
    """The pixels of one contour that have one of the other's within a distance."""
    height, width = contour.shape
    count = 0
    for y in range(height):
        for x in range(width):
            if contour[y, x] and _has_near(others, y, x, tolerance_px):
                count += 1
    return count


@jit_exact
def _has_near(pixels: BoolMask, y: int, x: int, distance: int) -> bool:
    height, width = pixels.shape
    for reach in range(distance + 1):  # nearest rows first: mostly it lies near
        for v in (y - reach, y + reach):
            if not 0 <= v < height:
                continue
            for u in range(max(x - distance, 0), min(x + distance + 1, width)):
                if pixels[v, u] and (u - x) ** 2 + reach**2 <= distance**2:
                    return True
    return False
