"""Says how well a frame shows an object, and keeps the vectors of the frames that show it best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.masks import ObjectMask
from schemas.records import Float32Vector
from schemas.videos import Sighting, Track

BEST_FRAMES = 5
"""Of so many frames a track keeps vectors, of which its own is made."""
_EDGE_PX = 2
_WORTH_AT_EDGE = 0.5
_LEAST_LENGTH = float(np.finfo(np.float32).tiny)


def measure_worth(mask: ObjectMask) -> float:
    """How well an object is seen, 0 to 1: sure, large, and not cut by the frame's edge."""
    sure = 1.0 if mask.predicted_iou is None and mask.segmenter_score is None else mask.sureness
    worth = sure**2 * math.sqrt(mask.area_frac)
    return worth * _WORTH_AT_EDGE if touches_edge(mask) else worth


def touches_edge(mask: ObjectMask) -> bool:
    """Whether a mask reaches the edge of its frame, or nearly does."""
    x0, y0, x1, y1 = mask.bbox_xyxy
    height, width = mask.rle.size_hw
    near = min(x0, y0, width - x1, height - y1)
    return near <= _EDGE_PX and max(x1 - x0, y1 - y0) < max(height, width)


def keep_best_vectors(sightings: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """The sightings; vectors stay with those of most worth."""
    seen = [place for place, each in enumerate(sightings) if each.vector is not None]
    best = set(sorted(seen, key=lambda place: (-sightings[place].worth, place))[:BEST_FRAMES])
    return tuple(
        each if each.vector is None or place in best else replace(each, vector=None)
        for place, each in enumerate(sightings)
    )


def find_track_vector(track: Track) -> Float32Vector:
    """The vector by which a track is searched: float32 (dim,), the unit mean of its best frames'.

    Of a track whose best frames' vectors cancel out it is 0, which the index refuses.
    """
    seen = sorted(track.sightings, key=lambda each: (-each.worth, each.time_s))
    vectors = [each.vector for each in seen if each.vector is not None][:BEST_FRAMES]
    total: Float32Vector = np.stack(vectors).sum(axis=0)
    return make_unit(total)


def make_unit(vector: Float32Vector) -> Float32Vector:
    """float32 (dim,) of length 1; zeros stay."""
    unit: Float32Vector = vector / max(float(np.linalg.norm(vector)), _LEAST_LENGTH)
    return unit
