"""Images that were given to the service to search with, in memory, for a while."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from schemas.errors import BadImageError
from schemas.images import ImageRef, UInt8Image
from schemas.options import DecodeOptions
from workers.images.decode import decode

_KEPT_S = 30 * 60.0
_MOST_BYTES = 256 * 2**20
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """`pixels` are upright; `until` is when it is forgotten, on the monotonic clock."""

    identity: str
    pixels: UInt8Image
    until: float


class UploadNotFoundError(Exception):
    """No upload has this id, or no longer."""


class Uploads:
    """The latest uploads, as many as fit into 256 MiB, each for half an hour. Thread-safe."""

    def __init__(self, max_pixels: int) -> None:
        self._limits = DecodeOptions(max_pixels=max_pixels)
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> Upload:
        """Decode and keep an image. Raises BadImageError."""
        try:
            decoded = decode(data, ImageRef("file", "", "the upload", "1", len(data)), self._limits)
        except BadImageError as exc:
            raise BadImageError(str(exc).replace("file://the%20upload", "the upload")) from exc
        identity = secrets.token_urlsafe(_ID_BYTES)
        upload = Upload(identity, decoded.pixels, time.monotonic() + _KEPT_S)
        with self._lock:
            self._kept[identity] = upload
            self._forget()
        return upload

    def get(self, identity: str) -> Upload:
        """Raises UploadNotFoundError."""
        with self._lock:
            self._forget()
            found = self._kept.get(identity)
        if found is None:
            raise UploadNotFoundError(identity)
        return found

    @property
    def held_bytes(self) -> int:
        with self._lock:
            return self._held()

    def _held(self) -> int:
        return sum(upload.pixels.nbytes for upload in self._kept.values())

    def _forget(self) -> None:
        now = time.monotonic()
        held = self._held()
        for identity, upload in list(self._kept.items()):
            latest = len(self._kept) == 1
            if upload.until < now or (held > _MOST_BYTES and not latest):
                del self._kept[identity]
                held -= upload.pixels.nbytes
