"""Packs a point into one value of a Lance table, so that a hit is read by one request.

Each column of a row that lies apart from others is a request of its own, and hits lie apart: by its
typed columns one would take thirty.

A value is: how many terms its words have and how many numbers its vector, uint32 each; the words'
indices, uint32; their values, float32; the vector, float32; then the payload as JSON. All are
little-endian.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from schemas.points import Point, SparseVector
from schemas.thumbnails import THUMBNAIL
from workers.indexes.points import NO_WORDS

_HEADER, _INDEX, _NUMBER = (np.dtype(kind) for kind in ("<u4", "<u4", "<f4"))


def pack_point(point: Point) -> bytes:
    """A point with its payload, but for the thumbnail, its words and its vector.

    Raises ValueError for a payload that is not JSON.
    """
    words = point.words or NO_WORDS
    vector = np.zeros(0, np.float32) if point.vector is None else point.vector
    payload = {
        name: value
        for name, value in point.payload.items()
        if value is not None and name != THUMBNAIL
    }
    text = json.dumps(
        [point.id, payload], ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    parts = (
        np.array([words.indices.size, vector.size], _HEADER),
        words.indices.astype(_INDEX),
        words.values.astype(_NUMBER),
        vector.astype(_NUMBER),
    )
    return b"".join([*(part.tobytes() for part in parts), text.encode()])


def unpack_point(value: bytes) -> Point:
    """The point of a value: without what `pack_point` leaves out."""
    terms, numbers = np.frombuffer(value, _HEADER, 2).tolist()
    place = 2 * _HEADER.itemsize

    def take(kind: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
        nonlocal place
        taken = np.frombuffer(value, kind, count, place)
        place += taken.nbytes
        return taken

    words = SparseVector(take(_INDEX, terms), take(_NUMBER, terms))
    vector = take(_NUMBER, numbers)
    identity, payload = json.loads(value[place:])
    return Point(identity, payload, vector, words)
