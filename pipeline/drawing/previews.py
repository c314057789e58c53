"""Names the part of its image that is shown around a point's object."""

from __future__ import annotations

from schemas.payload import PointPayload
from schemas.search import Box
from workers.images import surroundings

# Those of the tiles of the service's page.
_RATIOS = (0.62, 2.2)
_UNKNOWN_RATIO = 1.0


def crop_box(payload: PointPayload) -> Box:
    """The object with its surroundings, in its own proportions, within the image."""
    return surroundings.crop_box(payload.bbox, (payload.height, payload.width))


def crop_ratio(payload: PointPayload) -> float:
    """Width over height of the picture that stands for a point among others.

    Of an image whose size is not known it is a square.
    """
    if not payload.has_size:
        return _UNKNOWN_RATIO
    x0, y0, x1, y1 = crop_box(payload)
    return min(max((x1 - x0) / (y1 - y0), _RATIOS[0]), _RATIOS[1])


def square_crop_box(payload: PointPayload) -> Box:
    """The object with its surroundings, square where the image allows it."""
    return surroundings.square_crop_box(payload.bbox, (payload.height, payload.width))
