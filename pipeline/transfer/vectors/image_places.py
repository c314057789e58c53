"""Finds which image a row is of, from the text that the row has for it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.ingestion.image_places import locate_image
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores.selection import is_video

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ImagePlaces:
    """`images`: the folder or s3://bucket/prefix below which names without a place are.

    `store` says what is a video.
    """

    images: str | None
    store: StoreOptions

    def locate(self, text: object) -> ImageRef:
        """The image in no version. Raises ValueError for a text that names none, or a video."""
        ref = self._locate(text)
        if is_video(ref.key, self.store):
            raise ValueError(f"uri: expected an image, an ingest reads videos: {ref.uri}")
        return ref

    def _locate(self, text: object) -> ImageRef:
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise ValueError(f"uri: expected where the image is, got {text!r}")
        if _SCHEME.match(text):
            return ImageRef.from_uri(text, "", 0)
        if os.path.isabs(text):
            return ImageRef("file", "", os.path.abspath(text), "", 0)
        if self.images is not None:
            return locate_image(text, None, "", self.images)
        path = Path(text)
        if not path.exists():
            raise ValueError(
                f"uri: expected a uri or a path, got nothing at {text!r}: name the folder or "
                "s3://bucket/prefix that it is below with --images"
            )
        return ImageRef("file", "", os.path.abspath(path), "", 0)
