"""Recognises that a picture is in the index already, as it is or as a copy that looks the same."""

from __future__ import annotations

import numpy as np

from pipeline.search.small_pictures import measure_difference, shrink
from pipeline.search.source_images import read_source_images
from pipeline.settings import Settings
from schemas.images import Failure, UInt8Image
from schemas.points import IndexQuery
from schemas.records import Float32Vector
from schemas.search import Condition, ImageCopy
from workers.protocols import VectorIndex

_CANDIDATES = 3
"""The nearest images by their vectors, which are compared by their pixels."""
_MOST_DIFFERENCE = 0.3
"""In the demo's scenes, smaller copies that are encoded again differ by 0.04, other scenes by 0.6
and more."""
_MOST_STRETCH = 0.03


def find_copies(
    index: VectorIndex,
    vector: Float32Vector,
    pixels: UInt8Image,
    settings: Settings,
    conditions: tuple[Condition, ...] = (),
) -> tuple[ImageCopy, ...]:
    """The indexed images that a picture, uint8 (height, width, 3), is a copy of, exact ones first.

    `vector`, float32 (dim,), is the picture's own. Only images under all `conditions`, and whose
    source can be read again, are compared. Raises what a search in the index does.
    """
    images = Condition(field="kind", op="=", value="image")
    hits = index.search(IndexQuery(vector, _CANDIDATES, (images, *conditions)))
    copies = []
    payloads = [hit.payload for hit in hits]
    for hit, source in zip(hits, read_source_images(payloads, settings), strict=True):
        if isinstance(source, Failure) or not look_alike(pixels, source.pixels):
            continue
        copy = ImageCopy(
            image_id=hit.payload.image_id,
            object_id=hit.object_id,
            uri=hit.payload.uri,
            # Of a frame of a video only some objects are in the index.
            exact=hit.payload.t_key is None and np.array_equal(pixels, source.pixels),
        )
        copies.append(copy)
    return tuple(sorted(copies, key=lambda copy: not copy.exact))


def look_alike(picture: UInt8Image, other: UInt8Image) -> bool:
    """Whether two pictures, uint8 (height, width, 3), show the same at whatever size.

    Their sides have the same ratio to 3%, and of their thumbnails the root mean square of the
    difference is at most 0.3 of the first one's standard deviation.
    """
    (height, width), (other_height, other_width) = picture.shape[:2], other.shape[:2]
    stretch = (width * other_height) / (height * other_width)
    if not 1 - _MOST_STRETCH <= stretch <= 1 + _MOST_STRETCH:
        return False
    return measure_difference(shrink(picture), shrink(other)) <= _MOST_DIFFERENCE
