"""Composes scenes for training once, from the training pairs, to be read as memory maps.

python -m pipeline.training.scene_cache sprites.npz scenes --count 4000 --seed 0
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.demo.groups import find_groups
from pipeline.demo.scenes import MAX_OBJECTS, SCENE_HW, compose
from pipeline.demo.sprites import STYLES, Concept, Sprite, trim

_BLOCK = 50  # scenes a task


@dataclass(frozen=True)
class Art:
    """What `pipeline.training.rasterize_icons` rendered.

    sprites uint8 (concepts, styles, side, side, 4), straight RGBA; seen bool (concepts, styles),
    what training may see; held bool (concepts, the first three styles), what it must not. The
    first `chosen` concepts are what scenes are made of.
    """

    concepts: list[Concept]
    styles: list[str]
    sprites: np.ndarray
    seen: np.ndarray
    held: np.ndarray
    chosen: int


def load_art(path: Path) -> Art:
    """Read the rendered art from a file."""
    with np.load(path) as data:
        rows = json.loads(str(data["concepts"]))
        concepts = [Concept(row["name"], row["label"], tuple(row["keywords"])) for row in rows]
        styles = data["styles"].tolist()
        return Art(
            concepts, styles, data["sprites"], data["seen"], data["held"], int(data["chosen"])
        )


def load_training_sprites(path: Path, styles: Sequence[str]) -> list[Sprite]:
    """Load the sprites of these styles that training may see."""
    art = load_art(path)
    return [
        Sprite(art.concepts[row], art.styles[column], trim(art.sprites[row, column]))
        for row, column in zip(*np.nonzero(art.seen[: art.chosen]), strict=True)
        if art.styles[column] in styles
    ]


def compress_jpeg(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Compress an image as JPEG in a random quality, and decode it: uint8 (height, width, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(45, 96)))
    return np.asarray(Image.open(buffer))


@dataclass(frozen=True)
class _Block:
    """Scenes, and of each instance, by its number from 1, what is seen of it and what it is.

    images uint8 (_BLOCK, height, width, 3); instances uint8 (_BLOCK, height, width); visible
    float32, groups uint8 and concepts uint16 (_BLOCK, MAX_OBJECTS + 1), groups and concepts (rows
    of the art) from 1, 0: there is no such instance.
    """

    images: np.ndarray
    instances: np.ndarray
    visible: np.ndarray
    groups: np.ndarray
    concepts: np.ndarray


def _compose_block(
    sprites: Sequence[Sprite], kind_of: Mapping[str, tuple[int, int]], seed: int, block: int
) -> _Block:
    rng = np.random.default_rng([seed, block])
    images = np.zeros((_BLOCK, *SCENE_HW, 3), np.uint8)
    instances = np.zeros((_BLOCK, *SCENE_HW), np.uint8)
    visible = np.zeros((_BLOCK, MAX_OBJECTS + 1), np.float32)
    groups = np.zeros((_BLOCK, MAX_OBJECTS + 1), np.uint8)
    concepts = np.zeros((_BLOCK, MAX_OBJECTS + 1), np.uint16)
    for row in range(_BLOCK):
        scene = compose(rng, sprites)
        images[row] = compress_jpeg(rng, scene.image)
        for number, item in enumerate(scene.objects, start=1):
            instances[row][item.mask] = number
            visible[row, number] = item.visible_fraction
            group, concept = kind_of[item.concept.name]
            groups[row, number], concepts[row, number] = 1 + group, 1 + concept
    return _Block(images, instances, visible, groups, concepts)


_sprites: list[Sprite] = []
_kind_of: dict[str, tuple[int, int]] = {}


def _load(path: Path, styles: Sequence[str]) -> None:
    art = load_art(path)
    names = [concept.name for concept in art.concepts[: art.chosen]]
    groups = find_groups([concept.label for concept in art.concepts[: art.chosen]])
    kinds = zip(groups, range(len(names)), strict=True)
    _kind_of.update(zip(names, kinds, strict=True))
    _sprites.extend(load_training_sprites(path, styles))


def _block(seed: int, block: int) -> _Block:
    return _compose_block(_sprites, _kind_of, seed, block)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--styles", nargs="+", default=STYLES, help="those of a bucket by default")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    blocks = args.count // _BLOCK
    count = blocks * _BLOCK
    create = partial(np.lib.format.open_memmap, mode="w+")
    images = create(args.out / "images.npy", dtype=np.uint8, shape=(count, *SCENE_HW, 3))
    instances = create(args.out / "instances.npy", dtype=np.uint8, shape=(count, *SCENE_HW))
    visible = np.zeros((count, MAX_OBJECTS + 1), np.float32)
    groups = np.zeros((count, MAX_OBJECTS + 1), np.uint8)
    concepts = np.zeros((count, MAX_OBJECTS + 1), np.uint16)
    load = partial(_load, args.sprites, args.styles)
    with ProcessPoolExecutor(args.workers, initializer=load) as pool:
        results = pool.map(partial(_block, args.seed), range(blocks))
        for block, made in enumerate(results):
            rows = slice(block * _BLOCK, (block + 1) * _BLOCK)
            images[rows], instances[rows] = made.images, made.instances
            visible[rows], groups[rows] = made.visible, made.groups
            concepts[rows] = made.concepts
            print(f"{(block + 1) * _BLOCK}/{count} scenes", flush=True)
    np.save(args.out / "visible.npy", visible)
    np.save(args.out / "groups.npy", groups)
    np.save(args.out / "concepts.npy", concepts)


if __name__ == "__main__":
    main()
