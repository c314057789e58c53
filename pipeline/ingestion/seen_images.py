"""Tells which images of a listing were there before, in 16 bytes an image."""

from __future__ import annotations

from schemas.ids import image_id_bytes
from schemas.images import ImageRef

_ID_BYTES = 16


class SeenImages:
    """The images of a listing so far.

    Stores list in the order of their keys. As long as they do, only the last key can come again,
    and the ids of the others are kept as bytes; the first image out of order has them become a set,
    which takes six times as much.
    """

    def __init__(self) -> None:
        self._last = ("", "", "")
        self._in_order = bytearray()
        self._ids: set[bytes] | None = None

    def add(self, ref: ImageRef) -> bool:
        """Whether the image is new."""
        identity, place = image_id_bytes(ref), (ref.store, ref.bucket, ref.key)
        if self._ids is None:
            if place == self._last:
                return False
            if place > self._last:
                self._last = place
                self._in_order += identity
                return True
            starts = range(0, len(self._in_order), _ID_BYTES)
            self._ids = {bytes(self._in_order[start : start + _ID_BYTES]) for start in starts}
            self._in_order.clear()
        if identity in self._ids:
            return False
        self._ids.add(identity)
        return True
