"""Reads the images of a search through the service that answered it.

It can read them, and whoever asks it may not: their credentials are the service's own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from pipeline.search.source_images import image_ref, query_image
from pipeline.service.client import Client
from pipeline.settings import Settings
from schemas.api import SearchAnswer
from schemas.errors import ServiceError
from schemas.images import DecodedImage, Failure, Stage, UInt8Image
from schemas.payload import PointPayload
from schemas.search import FileExample, ObjectExample, SearchQuery

_MAX_SIDE = 4096
"""Of the largest picture that the service gives."""


def read_served_images(
    payloads: Sequence[PointPayload], service: Client
) -> Iterator[DecodedImage | Failure]:
    """The image of each point, in their order, or why the service does not give it.

    One that is larger than the service's largest picture comes enlarged again.
    """
    for payload in payloads:
        ref = image_ref(payload)
        try:
            picture = _open(service.preview(payload.image_id, _MAX_SIDE))
        except ServiceError as exc:
            yield Failure.from_error(ref, Stage.READ, exc)
            continue
        yield DecodedImage(ref, np.asarray(picture.resize((payload.width, payload.height))))


def find_served_subject(
    query: SearchQuery, answer: SearchAnswer, service: Client, settings: Settings
) -> UInt8Image | None:
    """The first picture, or the object in one, that was searched with, uint8 (height, width, 3)."""
    # A search of an empty index has no regions.
    for example, region in zip(query.wanted, answer.regions, strict=bool(answer.regions)):
        if isinstance(example, ObjectExample):
            return np.asarray(_open(service.crop(example.object_id)))
        if isinstance(example, FileExample):
            pixels = query_image(example.path, settings).pixels
            if region is None:
                return pixels
            x0, y0, x1, y1 = region.bbox
            return pixels[y0:y1, x0:x1]
    return None


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
