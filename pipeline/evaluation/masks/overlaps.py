"""Measures how far an image's found masks overlap its true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from pipeline.evaluation.masks.detections import Floats, ImageMasks, find_runs
from schemas.masks import CocoRle


def measure_overlaps(image: ImageMasks) -> Floats:
    """IoU of every found mask with every true one, with crowds the share of it that lies in them.

    float64 (found, true), as COCO's evaluation has it. Raises ValueError for an invalid RLE.
    """
    if not image.found or not image.true:
        return np.zeros((len(image.found), len(image.true)))
    found, true = [mask.rle for mask in image.found], [mask.rle for mask in image.true]
    for rle in (*found, *true):
        find_runs(rle)  # pycocotools would never end on one that does not fit its size
    crowds = [int(mask.is_crowd) for mask in image.true]
    overlaps: Floats = coco.iou(_encode(found), _encode(true), crowds)
    return overlaps


def _encode(rles: Sequence[CocoRle]) -> list[dict[str, object]]:
    return [{"size": rle.size_hw, "counts": rle.counts} for rle in rles]
