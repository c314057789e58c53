"""Indexes in which points are as alike as a test wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from support.index_cases import embedded, one_index

from schemas.images import UInt8Image
from schemas.records import EmbeddedImage
from workers.images.thumbnails import make_thumbnail
from workers.indexes.point_index import PointIndex


def turned(degrees: float) -> np.ndarray:
    """A unit vector, float32 (8,), at an angle from all others in their plane."""
    radians = np.deg2rad(degrees)
    return np.array([np.cos(radians), np.sin(radians), 0, 0, 0, 0, 0, 0], np.float32)


def apart(number: int) -> np.ndarray:
    """A unit vector, float32 (8,), that is at a right angle to `turned` ones; at most 6."""
    return np.eye(8, dtype=np.float32)[2 + number]


def image_at(key: str, degrees: float, width: int = 30) -> EmbeddedImage:
    """An image without objects, whose vector is at an angle."""
    return embedded(key, turned(degrees)[None], size_hw=(20, width))


def pattern(seed: int) -> UInt8Image:
    """A picture, uint8 (40, 60, 3), unlike those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return np.kron(coarse, np.ones((10, 10, 1), np.uint8))


def with_thumbnail(image: EmbeddedImage, picture: UInt8Image) -> EmbeddedImage:
    """The image, and each of its objects, with a picture as their thumbnail."""
    height, width = picture.shape[:2]
    kept = make_thumbnail(picture, (0, 0, width, height), 256)
    objects = tuple(replace(record, thumbnail=kept) for record in image.objects)
    return replace(image, whole=replace(image.whole, thumbnail=kept), objects=objects)


@contextmanager
def index_of(folder: Path, images: Sequence[EmbeddedImage]) -> Iterator[PointIndex]:
    with one_index("edge", folder) as index:
        index.replace_images(images)
        yield index
