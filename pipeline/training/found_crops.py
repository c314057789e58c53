"""Cuts out what `sam_demo` finds in scenes of the training sprites, for `clip_demo` to learn from.

    python -m pipeline.training.found_crops sprites.npz found.npz --scenes 1000

Composed crops have imagined masks; these have the masks that an index holds, with their rims,
holes and pieces of neighbours, and masks of no object at all.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.demo.scenes import Scene, compose
from pipeline.demo.sprites import Sprite
from pipeline.training.rasterize_icons import PLAIN
from pipeline.training.scene_cache import compress_jpeg, load_art, load_training_sprites
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions, SegmenterOptions
from schemas.overlaps import mask_iou
from workers.images.crops import object_views
from workers.registry import build_segmenter
from workers.segmenter_protocols import Segmenter

CROP_SIDE_PX = 96
_SHOWS_IOU, _JUNK_IOU = 0.5, 0.3
_BLOCK = 20  # scenes a task


@dataclass(frozen=True)
class FoundCrops:
    """Crops with the object that each shows.

    `crops` uint8 (n, 4, 96, 96), premultiplied RGBA, cut out by their masks; `concepts` and
    `styles` int16 (n,), row and column in the art, or -1 and -1 for no object.
    """

    crops: np.ndarray
    concepts: np.ndarray
    styles: np.ndarray


def load_found(path: Path) -> FoundCrops:
    """Read what `main` wrote."""
    with np.load(path) as data:
        return FoundCrops(data["crops"], data["concepts"], data["styles"])


def match_objects(masks: Sequence[ObjectMask], scene: Scene) -> list[int | None]:
    """For every mask the number of the object of the scene that it shows, -1 for none.

    None where that is unclear: the mask shows more than a scrap of an object, and too little of it.
    """
    if not masks or not scene.objects:
        return [-1] * len(masks)
    true = [CocoRle.from_mask(item.mask) for item in scene.objects]
    iou = mask_iou([mask.rle for mask in masks], true)
    best = iou.max(axis=1)
    which = iou.argmax(axis=1)
    return [
        int(k) if share >= _SHOWS_IOU else -1 if share < _JUNK_IOU else None
        for k, share in zip(which, best, strict=True)
    ]


_segmenters: list[Segmenter] = []
_sprites: list[Sprite] = []


def _load(art: Path, options: SegmenterOptions) -> None:
    torch.set_num_threads(1)
    styles = [style for style in load_art(art).styles if style not in PLAIN]
    _sprites.extend(load_training_sprites(art, styles))
    _segmenters.append(build_segmenter(options))


def _cut_out(image: np.ndarray, mask: ObjectMask) -> np.ndarray:
    """The object in premultiplied RGBA, uint8 (4, 96, 96), framed as for the embedder."""
    options = EmbedderOptions(device="cpu", views="cutout", cutout_fill=(0, 0, 0))
    colour = object_views(image, mask, options)[0]
    alpha = object_views(np.full_like(image, 255), mask, options)[0]
    size = (CROP_SIDE_PX, CROP_SIDE_PX)
    small = [
        np.asarray(Image.fromarray(view).resize(size, Image.Resampling.BICUBIC))
        for view in (colour, alpha)
    ]
    return np.concatenate([small[0], small[1][..., :1]], axis=2).transpose(2, 0, 1)


def cut_block(seed: int, block: int) -> list[tuple[np.ndarray, str, str]]:
    """Crops from a block of scenes, each with concept and style, both empty for no object."""
    rng = np.random.default_rng([seed, block])
    rows = []
    for _ in range(_BLOCK):
        scene = compose(rng, _sprites)
        image = compress_jpeg(rng, scene.image)
        masks = _segmenters[0].segment([image])[0]
        for mask, number in zip(masks, match_objects(masks, scene), strict=True):
            if number is None:
                continue
            item = scene.objects[number] if number >= 0 else None
            name, style = (item.concept.name, item.style) if item else ("", "")
            rows.append((_cut_out(image, mask), name, style))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()

    art = load_art(args.sprites)
    row = {concept.name: number for number, concept in enumerate(art.concepts)} | {"": -1}
    column = {style: number for number, style in enumerate(art.styles)} | {"": -1}
    options = SegmenterOptions(device="cpu", points_per_side=args.points_per_side)
    found: list[tuple[np.ndarray, str, str]] = []
    load = partial(_load, args.sprites, options)
    with ProcessPoolExecutor(args.workers, initializer=load) as pool:
        blocks = range(-(-args.scenes // _BLOCK))
        for done, rows in enumerate(pool.map(partial(cut_block, args.seed), blocks), start=1):
            found += rows
            print(f"{done * _BLOCK}/{args.scenes} scenes, {len(found)} crops", flush=True)
    crops, names, styles = zip(*found, strict=True)
    np.savez(
        args.out,
        crops=np.stack(crops),
        concepts=np.array([row[name] for name in names], np.int16),
        styles=np.array([column[style] for style in styles], np.int16),
    )


if __name__ == "__main__":
    main()
