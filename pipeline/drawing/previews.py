"""Names the part of its image that is shown around a point's object."""

from __future__ import annotations

from schemas.payload import PointPayload
from schemas.search import Box
from workers.images import surroundings


def crop_box(payload: PointPayload) -> Box:
    """The object with its surroundings, in its own proportions, within the image."""
    return surroundings.crop_box(payload.bbox, (payload.height, payload.width))


def square_crop_box(payload: PointPayload) -> Box:
    """The object with its surroundings, square where the image allows it."""
    return surroundings.square_crop_box(payload.bbox, (payload.height, payload.width))
