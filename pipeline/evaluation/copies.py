"""Measures whether copies of indexed images are recognised, and other images are not."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.search.searcher import Searcher
from pipeline.search.source_images import read_source_images
from schemas.images import Failure, UInt8Image
from schemas.search import Condition

_MOST_IMAGES = 200
_SMALLER, _QUALITY = 0.75, 60


@dataclass(frozen=True, slots=True)
class CopyScores:
    """Shares of images whose copies are recognised; None where no image can be read.

    `near_copies` are three quarters as large and JPEGs of quality 60. `mistaken_copies` is the
    share of either that are taken for a copy of another image.
    """

    exact_copies: float | None
    near_copies: float | None
    mistaken_copies: float | None


def measure_copies(searcher: Searcher) -> CopyScores:
    """Search with copies of at most 200 images of the index."""
    images = Condition(field="kind", op="=", value="image")
    points = sorted(searcher.index.scroll([images]), key=lambda point: point.id)[:_MOST_IMAGES]
    payloads = [point.parse_payload() for point in points]
    exact: list[bool] = []
    near: list[bool] = []
    mistaken: list[bool] = []
    sources = read_source_images(payloads, searcher.settings)
    for payload, source in zip(payloads, sources, strict=True):
        if isinstance(source, Failure):
            continue
        for pixels, right, is_exact in (
            (source.pixels, exact, True),
            (encode_again(source.pixels), near, False),
        ):
            copies = searcher.find_indexed(pixels).copies
            own = [copy for copy in copies if copy.image_id == payload.image_id]
            right.append(any(copy.exact or not is_exact for copy in own))
            mistaken.append(len(own) < len(copies))
    return CopyScores(*(float(np.mean(each)) if each else None for each in (exact, near, mistaken)))


def encode_again(pixels: UInt8Image) -> UInt8Image:
    """A smaller copy of a picture, uint8 (height, width, 3), as a JPEG of a low quality has it."""
    height, width = pixels.shape[:2]
    size = max(1, round(width * _SMALLER)), max(1, round(height * _SMALLER))
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, "JPEG", quality=_QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))
