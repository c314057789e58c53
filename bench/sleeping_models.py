"""Models that sleep for as long as real ones would compute: any number fits on a few cores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.runners.recipe import Recipe, build_no_labeller, build_recipe
from pipeline.settings import Settings
from schemas.images import Decoded, ImageRef, UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.records import Float32Matrix
from workers.protocols import UInt8Crops


class SleepingSegmenter:
    """Finds the left half of every image, after `image_s` seconds for each."""

    name, fingerprint = "sleeping", "sleeping"
    notes: tuple[str, ...] = ()

    def __init__(self, image_s: float) -> None:
        self._image_s = image_s

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        time.sleep(self._image_s * len(images))
        return [[_left_half(image)] for image in images]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        return _left_half(image)


def _left_half(image: UInt8Image) -> ObjectMask:
    height, width = image.shape[:2]
    covered = np.zeros((height, width), np.bool_)
    covered[:, : width // 2] = True
    area = int(covered.sum())
    return ObjectMask(
        CocoRle.from_mask(covered), (0, 0, width // 2, height), area, 0.9, 0.95, (0.0, 0.0)
    )


class MeanEmbedder:
    """The mean colour of a crop as its vector: no time to speak of."""

    name, fingerprint, dim = "mean", "mean", 4

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        means = [np.append(crop.reshape(-1, 3).mean(axis=0) / 255, 1.0) for crop in crops]
        vectors = np.array(means, np.float32).reshape(-1, self.dim)
        unit: Float32Matrix = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        return np.ones((len(texts), self.dim), np.float32) / 2

    def knows_text(self, text: str) -> bool:
        return True


def _read_slowly(
    refs: Sequence[ImageRef], reader: partial[list[Decoded]], image_s: float
) -> list[Decoded]:
    time.sleep(image_s * len(refs))
    return reader(refs)


def build_sleeping_recipe(settings: Settings, image_s: float, read_s: float = 0.0) -> Recipe:
    """The recipe of these settings, but for its models; reading takes `read_s` an image longer."""
    recipe = build_recipe(settings)
    return replace(
        recipe,
        segmenter=partial(SleepingSegmenter, image_s),
        embedder=MeanEmbedder,
        reader=partial(_read_slowly, reader=recipe.reader, image_s=read_s)
        if read_s
        else recipe.reader,
        labeller=build_no_labeller,
        calibration=None,
    )


def write_images(folder: Path, count: int, width: int) -> Path:
    """`count` images of noise that differ, `width` pixels wide and 3/4 as high; the folder."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(7)
    for number in range(count):
        tiles = chance.integers(0, 255, (width * 3 // 32, width // 8, 3), np.uint8)
        pixels = tiles.repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(pixels).save(folder / f"{number:05}.jpg", quality=80)
    return folder
