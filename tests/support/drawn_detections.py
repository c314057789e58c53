"""Draws images with true masks and found ones, and writes them as COCO's evaluation wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.evaluation.masks.detections import FoundMask, ImageMasks, TrueMask
from schemas.masks import BoolMask, CocoRle

SIZE_HW = (140, 180)
CATEGORIES = 3


def draw_mask(rng: np.random.Generator, size_hw: tuple[int, int] = SIZE_HW) -> BoolMask:
    """A rectangle with a part cut out, of 1 to most pixels."""
    height, width = size_hw
    y, x = rng.integers(0, height), rng.integers(0, width)
    h, w = (int(np.exp(rng.uniform(0, np.log(side)))) for side in size_hw)
    mask = np.zeros(size_hw, np.bool_)
    mask[y : y + h, x : x + w] = True
    mask[y + h // 3 : y + h // 2, x : x + w // 2] = False
    mask[y, min(x + w, width) - 1] = True
    return mask


def disturb(mask: BoolMask, rng: np.random.Generator) -> BoolMask:
    moved = np.roll(mask, tuple(rng.integers(-4, 5, 2)), axis=(0, 1))
    return moved if moved.any() else mask


def draw_image(rng: np.random.Generator) -> ImageMasks:
    """Up to eight true masks, some crowds; found ones near them or anywhere, with ties."""
    true = []
    for _ in range(rng.integers(0, 9)):
        rle = CocoRle.from_mask(draw_mask(rng))
        crowd = bool(rng.random() < 0.15)
        true.append(TrueMask(rle, int(rng.integers(CATEGORIES)), float(rle.area_px), crowd))
    found = []
    for wanted in true:
        for _ in range(rng.integers(0, 4)):
            category = wanted.category if rng.random() < 0.8 else int(rng.integers(CATEGORIES))
            rle = CocoRle.from_mask(disturb(wanted.rle.decode(), rng))
            found.append(FoundMask(rle, category, float(rng.integers(1, 20) / 20)))
    for _ in range(rng.integers(0, 5)):
        rle = CocoRle.from_mask(draw_mask(rng))
        found.append(FoundMask(rle, int(rng.integers(CATEGORIES)), float(rng.random())))
    # Of equal scores pycocotools takes class after class, where it looks at no class.
    true.sort(key=lambda mask: mask.category)
    found.sort(key=lambda mask: mask.category)
    return ImageMasks.of(SIZE_HW, true, found)


def describe_images(images: Sequence[ImageMasks]) -> tuple[dict[str, Any], dict[str, Any]]:
    """True masks and found ones as two documents in COCO's format, which number from 1."""
    document = {
        "images": [
            {"id": number, "height": image.size_hw[0], "width": image.size_hw[1]}
            for number, image in enumerate(images, 1)
        ],
        "categories": [{"id": n, "name": str(n)} for n in range(1, CATEGORIES + 1)],
    }
    true, found = (
        [
            {
                "id": 1000 * number + row + 1,
                "image_id": number,
                "category_id": mask.category + 1,
                "segmentation": {"size": list(image.size_hw), "counts": mask.rle.counts},
                "bbox": [0, 0, 1, 1],
                "area": mask.area if isinstance(mask, TrueMask) else mask.rle.area_px,
                "iscrowd": int(isinstance(mask, TrueMask) and mask.is_crowd),
                "score": mask.score if isinstance(mask, FoundMask) else 1.0,
            }
            for number, image in enumerate(images, 1)
            for row, mask in enumerate(getattr(image, side))
        ]
        for side in ("true", "found")
    )
    return document | {"annotations": true}, document | {"annotations": found}
