"""Measures how alike copies of the demo's scenes are, and their objects, against other scenes.

python -m bench.duplicates --scenes 200
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.demo.scenes import Scene, compose
from pipeline.demo.sprites import Sprite, bundled_sprites
from pipeline.search.alike import LEAST_SIMILARITY, MOST_DIFFERENCE
from pipeline.search.small_pictures import SmallPicture, measure_difference, shrink
from schemas.images import DecodedImage, ImageRef, UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions
from schemas.records import VECTOR_NAME, EmbeddedImage
from workers.embedders.embed_objects import embed_segmented
from workers.images.thumbnails import add_thumbnails, read_thumbnail
from workers.protocols import Embedder
from workers.registry import build_embedder

_SEED = 2026
_THUMBNAIL_PX = 256
_LEAST_VISIBLE = 0.5
_LEAST_PX = 400
_SHARES = (0, 1, 5, 50, 95, 99, 100)
_LEAST = (0.9, 0.93, 0.95, 0.97)
_FEW_SPRITES = 3  # of which a scene that is merely similar is composed too

Picture = tuple[UInt8Image, list[np.ndarray]]
"""A scene's pixels, uint8 (height, width, 3), and the masks of its objects, bool of that size."""


def encode_again(picture: Picture) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(picture[0]).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer).convert("RGB")), picture[1]


def halve(picture: Picture) -> Picture:
    height, width = picture[0].shape[:2]
    size = (width // 2, height // 2)
    pixels = np.asarray(Image.fromarray(picture[0]).resize(size, Image.Resampling.BICUBIC))
    masks = [np.asarray(Image.fromarray(mask).resize(size)) for mask in picture[1]]
    return pixels, masks


def crop(picture: Picture) -> Picture:
    """Without the outer 2.5% at each side: 5% of its width and of its height."""
    height, width = picture[0].shape[:2]
    rows = slice(round(height * 0.025), height - round(height * 0.025))
    columns = slice(round(width * 0.025), width - round(width * 0.025))
    return picture[0][rows, columns], [mask[rows, columns] for mask in picture[1]]


def brighten(picture: Picture) -> Picture:
    bright = (picture[0].astype(np.float32) * 1.1).clip(0, 255).astype(np.uint8)
    return bright, picture[1]


VARIANTS: dict[str, Callable[[Picture], Picture]] = {
    "the same file": lambda picture: picture,
    "encoded again": encode_again,
    "half as large": halve,
    "cropped by 5%": crop,
    "brighter by 10%": brighten,
}


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A vector, float32 (dim,), and the thumbnail that is kept beside it, shrunk."""

    vector: np.ndarray
    small: SmallPicture


def embed(pictures: Sequence[Picture], embedder: Embedder) -> Iterator[tuple[Shown, list[Shown]]]:
    """What is kept of each picture as a whole, and of its objects."""
    for number, (pixels, masks) in enumerate(pictures):
        ref = ImageRef("s3", "bench", f"{number}.png", "v1", 1)
        found = [ObjectMask.measure(CocoRle.from_mask(mask)) for mask in masks]
        objects = [mask for mask in found if mask is not None]
        decoded = DecodedImage(ref, pixels)
        (image,) = embed_segmented(
            [decoded], [objects], embedder, EmbedderOptions(device="cpu"), "f", "truth"
        )
        yield _read(add_thumbnails(image, pixels, _THUMBNAIL_PX))


def _read(image: EmbeddedImage) -> tuple[Shown, list[Shown]]:
    whole, *objects = (
        Shown(record.vectors[VECTOR_NAME], shrink(read_thumbnail(record.thumbnail.webp)))
        for record in (image.whole, *image.objects)
        if record.thumbnail is not None
    )
    return whole, objects


def compose_scenes(count: int, sprites: Sequence[Sprite], seed: int) -> list[Scene]:
    return [compose(np.random.default_rng([seed, number]), sprites) for number in range(count)]


def compose_similar(count: int, seed: int) -> list[Scene]:
    """Pairs, one after the other, of scenes of the same three drawings."""
    scenes = []
    sprites = bundled_sprites()
    for number in range(count):
        rng = np.random.default_rng([seed, number, 1])
        few = [sprites[int(rng.integers(len(sprites)))] for _ in range(_FEW_SPRITES)]
        scenes += [compose(rng, few), compose(rng, few)]
    return scenes


def picture_of(scene: Scene) -> Picture:
    kept = [
        each.mask
        for each in scene.objects
        if each.visible_fraction >= _LEAST_VISIBLE and each.mask.sum() >= _LEAST_PX
    ]
    return scene.image, kept


def print_shares(name: str, values: Sequence[float]) -> None:
    numbers = "  ".join(f"{value:6.3f}" for value in np.percentile(values, _SHARES))
    print(f"{name:<34} {len(values):>6}  {numbers}")


def print_header(title: str) -> None:
    shares = "  ".join(f"{share:>5}%" for share in _SHARES)
    print(f"\n{title:<34} {'n':>6}  {shares}")


def nearest_others(shown: Sequence[Shown], owners: Sequence[int]) -> list[tuple[float, float]]:
    """Of each its nearest of another owner: the cosine, and the difference of their pixels."""
    vectors = np.array([each.vector for each in shown])
    cosines = vectors @ vectors.T
    cosines[np.equal.outer(owners, owners)] = -1
    return [
        (float(row.max()), measure_difference(each.small, shown[int(row.argmax())].small))
        for each, row in zip(shown, cosines, strict=True)
    ]


def compare(first: Sequence[Shown], second: Sequence[Shown]) -> list[tuple[float, float]]:
    pairs = zip(first, second, strict=True)
    return [
        (
            float(one.vector @ other.vector),
            measure_difference(one.small, other.small),
        )
        for one, other in pairs
    ]


def print_told(rows: dict[str, list[tuple[float, float]]], what: str) -> None:
    """Which share is told to be alike: by vectors alone at several cosines, and with thumbnails."""
    usual = LEAST_SIMILARITY["image"]
    names = [*(f"{least:.2f}" for least in _LEAST), f"{usual:.2f} + pictures"]
    print(f"\n{what + ': told to be alike':<34} {'n':>6}  {'  '.join(names)}")
    for name, values in rows.items():
        cosines, differences = np.array(values).T
        shares = [(cosines >= least).mean() for least in _LEAST]
        shares.append(((cosines >= usual) & (differences <= MOST_DIFFERENCE)).mean())
        cells = zip(shares, names, strict=True)
        told = "  ".join(f"{share:.1%}".rjust(len(head)) for share, head in cells)
        print(f"{name:<34} {len(values):>6}  {told}")


def print_pairs(rows: dict[str, list[tuple[float, float]]], what: str) -> None:
    for place, title in enumerate(("cosine", "difference of thumbnails")):
        print_header(f"{what}: {title}")
        for name, values in rows.items():
            print_shares(name, [pair[place] for pair in values])
    print_told(rows, what)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=200)
    args = parser.parse_args()
    embedder = build_embedder(EmbedderOptions(device="cpu"))
    pictures = [
        picture_of(scene) for scene in compose_scenes(args.scenes, bundled_sprites(), _SEED)
    ]
    own = list(embed(pictures, embedder))
    images: dict[str, list[tuple[float, float]]] = {}
    objects: dict[str, list[tuple[float, float]]] = {}
    for name, change in VARIANTS.items():
        changed = list(embed([change(picture) for picture in pictures], embedder))
        images[name] = compare([whole for whole, _ in own], [whole for whole, _ in changed])
        same = [
            compare(one, other)
            for (_, one), (_, other) in zip(own, changed, strict=True)
            if len(one) == len(other)
        ]
        objects[name] = [pair for pairs in same for pair in pairs]
    owners = list(range(len(own)))
    images["the nearest other scene"] = nearest_others([whole for whole, _ in own], owners)
    owned = [(number, each) for number, (_, parts) in enumerate(own) for each in parts]
    objects["the nearest of another scene"] = nearest_others(
        [each for _, each in owned], [number for number, _ in owned]
    )
    similar = list(embed(list(map(picture_of, compose_similar(args.scenes, _SEED))), embedder))
    wholes = [whole for whole, _ in similar]
    images["the same drawings, other scene"] = compare(wholes[::2], wholes[1::2])
    print_pairs(images, "images")
    print_pairs(objects, "objects")


if __name__ == "__main__":
    main()
