"""Names images by where they are below a folder or a prefix, as files of other programs do."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.images import ImageRef, split_s3_uri


def name_below(uri: str, key: str, images: str | None) -> str:
    """What a file calls an image: its key, or what is left of it below a folder or a prefix.

    >>> name_below("s3://b/photos/1.jpg", "photos/1.jpg", "s3://b/photos")
    '1.jpg'
    """
    if images is None:
        return key
    place = ImageRef.from_uri(uri, "", 0)
    if images.startswith("s3://"):
        bucket, prefix = split_s3_uri(images)
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        is_below = (place.store, place.bucket) == ("s3", bucket)
    else:
        folder = os.path.join(os.path.abspath(Path(images).expanduser()), "")
        is_below = place.store == "file"
    return key.removeprefix(folder) if is_below else key
