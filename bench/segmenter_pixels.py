"""Prints how many pixels segmenters of the demo's groups call right, in scenes none has seen.

    python -m bench.segmenter_pixels maskrcnn_demo segformer_demo --scenes 100

What a segmenter finds is painted over the background, the surest last, and compared with the truth:
the share of pixels that are right, and the intersection over union of each group. A picture called
background all over is the peer.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.demo.bucket import write_bucket
from pipeline.demo.groups import GROUPS, find_groups
from schemas.coco import CocoAnnotation, CocoTruth
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter

CLASSES = 1 + len(GROUPS)


def paint_masks(masks: Sequence[ObjectMask], size_hw: tuple[int, int]) -> np.ndarray:
    """The group of every pixel, from 1, 0: none; uint8 (height, width)."""
    canvas = np.zeros(size_hw, np.uint8)
    for mask in sorted(masks, key=lambda mask: mask.sureness):
        canvas[mask.rle.decode()] = 1 + GROUPS.index(mask.segmenter_label or "")
    return canvas


def paint_truth(
    annotations: Sequence[CocoAnnotation], size_hw: tuple[int, int], group_of: dict[int, int]
) -> np.ndarray:
    """The same of the truth, whose masks don't overlap."""
    canvas = np.zeros(size_hw, np.uint8)
    for annotation in annotations:
        canvas[annotation.to_rle(size_hw).decode()] = 1 + group_of[int(annotation.category_id)]
    return canvas


def count_pairs(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Pixels by their true group and the one found: int64 (classes, classes)."""
    pairs = true.astype(np.int64) * CLASSES + found
    return np.bincount(pairs.ravel(), minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def describe(pairs: np.ndarray) -> str:
    """A line of figures of counted pairs."""
    right = np.diag(pairs)
    ious = right / np.maximum(pairs.sum(0) + pairs.sum(1) - right, 1)
    background = pairs[0].sum() / pairs.sum()
    objects = pairs[1:, 1:]
    named = np.trace(objects) / max(objects.sum(), 1)
    apart = " ".join(f"{name} {iou:.3f}" for name, iou in zip(GROUPS, ious[1:], strict=True))
    return (
        f"right {right.sum() / pairs.sum():.3f} (background alone: {background:.3f}), mean IoU "
        f"{ious.mean():.3f}, of groups {ious[1:].mean():.3f}, of the background {ious[0]:.3f}; "
        f"group of pixels found right {named:.3f}; {apart}"
    )


def measure(name: str, folder: Path, truth: CocoTruth, checkpoint: str | None) -> str:
    """The line of a segmenter, or of a local checkpoint of it."""
    options = SegmenterOptions(name=name, device="cpu", checkpoint=checkpoint)
    segmenter = build_segmenter(options)
    numbers = find_groups([category.name for category in truth.categories])
    ids = [int(category.id) for category in truth.categories]
    group_of = dict(zip(ids, numbers, strict=True))
    pairs = np.zeros((CLASSES, CLASSES), np.int64)
    for image in truth.images:
        pixels = np.asarray(Image.open(folder / image.file_name).convert("RGB"))
        (masks,) = segmenter.segment([pixels])
        of_image = [item for item in truth.annotations if item.image_id == image.id]
        true = paint_truth(of_image, image.size_hw, group_of)
        pairs += count_pairs(true, paint_masks(masks, image.size_hw))
    return f"{name}: {describe(pairs)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("segmenters", nargs="+")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--checkpoint", help="a local one, of a single segmenter")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        truth = write_bucket(Path(name), args.scenes, args.seed)
        for segmenter in args.segmenters:
            print(measure(segmenter, Path(name), truth, args.checkpoint), flush=True)


if __name__ == "__main__":
    main()
