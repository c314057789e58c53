"""Keeps uploaded images in memory for a while, to search with, and what was found in them."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, replace

from cachetools import TTLCache

from pipeline.search.found_objects import FoundObjects
from pipeline.search.picture_examples import UploadedPicture
from schemas.errors import BadImageError, ObjseekError, UsageError
from schemas.images import ImageRef, UInt8Image
from schemas.options import DecodeOptions
from workers.images.decode import decode

_KEPT_S = 30 * 60.0
_MAX_BYTES = 256 * 2**20
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """An uploaded image; `pixels` are upright.

    `found` is what it shows; None as long as that is looked for. `error` ended the looking.
    """

    identity: str
    pixels: UInt8Image
    found: FoundObjects | None = None
    error: ObjseekError | None = None


class Uploads:
    """The latest uploads, as many as fit into 256 MiB, each for half an hour. Thread-safe."""

    def __init__(self, max_pixels: int) -> None:
        self._limits = DecodeOptions(max_pixels=max_pixels)
        # An upload that is larger than the cache is kept nevertheless, alone.
        self._uploads: TTLCache[str, Upload] = TTLCache(
            _MAX_BYTES, _KEPT_S, getsizeof=lambda upload: min(upload.pixels.nbytes, _MAX_BYTES)
        )
        self._lock = threading.Lock()

    def add(self, data: bytes) -> Upload:
        """Decode and keep an image. Raises BadImageError."""
        try:
            decoded = decode(data, ImageRef("file", "", "the upload", "1", len(data)), self._limits)
        except BadImageError as exc:
            raise BadImageError(str(exc).replace("file://the%20upload", "the upload")) from exc
        upload = Upload(secrets.token_urlsafe(_ID_BYTES), decoded.pixels)
        with self._lock:
            self._uploads[upload.identity] = upload
        return upload

    def get(self, identity: str) -> Upload | None:
        """The upload with this id; None if there is none, or it has expired."""
        with self._lock:
            return self._uploads.get(identity)

    def read_picture(self, identity: str) -> UploadedPicture:
        """The upload as a search takes it. Raises UsageError if there is none."""
        upload = self.get(identity)
        if upload is None:
            raise UsageError("no upload has this id, or it has expired: upload it again")
        return UploadedPicture(upload.pixels, upload.found, upload.error)

    def note_found(self, identity: str, found: FoundObjects) -> None:
        """Remember what an upload shows, as long as it is kept."""
        self._update(identity, found=found)

    def note_error(self, identity: str, error: ObjseekError) -> None:
        """Remember why the objects of an upload cannot be found."""
        self._update(identity, error=error)

    def _update(
        self,
        identity: str,
        found: FoundObjects | None = None,
        error: ObjseekError | None = None,
    ) -> None:
        with self._lock:
            upload = self._uploads.get(identity)
            if upload is not None:
                self._uploads[identity] = replace(upload, found=found, error=error)

    @property
    def held_bytes(self) -> int:
        with self._lock:
            self._uploads.expire()
            return sum(upload.pixels.nbytes for upload in self._uploads.values())
