"""Cuts chosen objects out of their images, as JPEG files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from PIL import Image

from pipeline.search.source_images import read_source_image
from pipeline.selection.objects import ChosenObject
from pipeline.selection.zip_stream import Entry
from pipeline.settings import Settings
from schemas.errors import BadImageError, ObjectChangedError, StoreError
from schemas.labels import UNLABELLED
from schemas.payload import PointPayload

_QUALITY = 92
_MAX_SIDE_PX = 2048
_SHORT_ID = 8
_NOT_IN_NAMES = re.compile(r"[^\w. ()-]+")
UNREADABLE = (StoreError, BadImageError, ValueError)


def group_by_image(chosen: Sequence[ChosenObject]) -> list[list[ChosenObject]]:
    """Objects by the image, or frame, that they are in, so that each is read once."""
    groups: dict[tuple[str, float | None], list[ChosenObject]] = {}
    for each in chosen:
        groups.setdefault((each.payload.uri, each.payload.t_key), []).append(each)
    return list(groups.values())


def crop_objects(chosen: Sequence[ChosenObject], settings: Settings) -> list[Entry]:
    """The boxes of objects of one image, a JPEG each, in a folder named after the label.

    At most 2,048 pixels long. Raises `UNREADABLE` where the image, or a box, is not what was
    indexed.
    """
    first = chosen[0].payload
    pixels = read_source_image(first, settings).pixels
    if first.has_size and pixels.shape[:2] != (first.height, first.width):
        raise ObjectChangedError(f"{first.uri} is of another size than when it was indexed")
    entries = []
    for each in chosen:
        payload = each.payload.with_size((pixels.shape[0], pixels.shape[1]))
        if not payload.has_sound_box():
            raise ValueError(f"expected a box within the image, got {payload.bbox}")
        x0, y0, x1, y1 = payload.bbox
        picture = Image.fromarray(pixels[y0:y1, x0:x1])
        picture.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=_QUALITY)
        entries.append((_name(each.object_id, payload), buffer.getvalue()))
    return entries


def describe_failure(chosen: Sequence[ChosenObject], error: Exception) -> str:
    """A line for each object that could not be cut out."""
    return "".join(f"{each.object_id}\t{each.payload.uri}\t{error}\n" for each in chosen)


def _name(object_id: str, payload: PointPayload) -> str:
    label = payload.labels[0] if payload.labels else UNLABELLED
    stem = PurePosixPath(payload.key).stem
    parts = (label, f"{stem}-{object_id[:_SHORT_ID]}.jpg")
    return "/".join(_NOT_IN_NAMES.sub("-", part).strip(". ") or "-" for part in parts)
