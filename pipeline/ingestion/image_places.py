"""Finds the images that a file tells of, by uri or by name."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.errors import UsageError
from schemas.images import ImageRef, split_s3_uri


def locate_image(name: str, uri: str | None, version: str, images: str | None) -> ImageRef:
    """The image at `uri`, else the one called `name` below `images`, a folder or s3://bucket/prefix.

    Nothing is looked up: it may be absent. Raises UsageError where neither is told.
    """
    if uri is not None:
        try:
            return ImageRef.from_uri(uri, version, 0)
        except ValueError as exc:
            raise UsageError(f"image {name!r}: {exc}") from exc
    if images is None:
        raise UsageError(
            f"expected where the image {name!r} is, the file does not say: "
            "name its folder or s3://bucket/prefix with --images"
        )
    if images.startswith("s3://"):
        bucket, prefix = split_s3_uri(images)
        prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        return ImageRef("s3", bucket, prefix + name, version="", size_bytes=0)
    key = os.path.abspath(Path(images).expanduser() / name)
    return ImageRef("file", "", key, version="", size_bytes=0)
