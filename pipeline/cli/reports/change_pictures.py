"""Draws the objects whose masks changed most from one run to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipeline.cli.reports.source_pictures import UNTOLD, SourcePictures
from pipeline.drawing.contact_sheet import file_name
from pipeline.drawing.mask_pair import draw_pair
from pipeline.drawing.report.contents import Gallery, Picture
from pipeline.drawing.report.pictures import encode_picture
from pipeline.evaluation.masks.changes import ObjectChange
from schemas.coco import CocoId
from schemas.images import UInt8Image

LEGEND = (
    "In the pictures A is left and B is right. The line and what is not dimmed are the mask that "
    "fits best, the dashes of black and white are the true one."
)
_UNTOLD_HINT = "Some are drawn on a plain ground: name where images are with --images."


def draw_changes(
    changes: Mapping[str, Sequence[ObjectChange]],
    names: Mapping[int, str],
    pictures: SourcePictures,
    note: Callable[[int], None],
) -> list[Gallery]:
    """A gallery for each list of objects, by its title; an image is read once for all of them.

    An image that cannot be read is no end: its objects are drawn on a plain ground. `note` is
    called with how many are drawn.
    """
    of_image: dict[CocoId, list[ObjectChange]] = {}
    for change in (each for own in changes.values() for each in own):
        of_image.setdefault(change.image.id, []).append(change)
    drawn: dict[int, Picture] = {}
    hint = ""
    for own in of_image.values():
        read = pictures.read(own[0].image)
        if isinstance(read, str) and read == UNTOLD:
            hint = _UNTOLD_HINT
        for change in own:
            drawn[id(change)] = _draw(change, names, pictures, read)
            note(len(drawn))
    return [
        Gallery(title, [drawn[id(change)] for change in own], hint)
        for title, own in changes.items()
        if own
    ]


def _draw(
    change: ObjectChange,
    names: Mapping[int, str],
    pictures: SourcePictures,
    read: UInt8Image | str,
) -> Picture:
    pixels, reason = (read, None) if isinstance(read, np.ndarray) else (None, read)
    first, second = (
        f"{run}: IoU {iou:.2f}" if mask is not None else f"{run}: no mask"
        for run, mask, iou in zip("AB", change.masks, change.ious, strict=True)
    )
    image = draw_pair(pixels, change.true, change.masks, (first, second))
    name = names.get(change.category, "an object")
    ref = pictures.locate(change.image)
    uri = change.image.file_name if ref is None else ref.uri
    alt = f"{name} in {file_name(uri)}, truth dashed. {first}; {second}"
    lines = [f"IoU {change.ious[0]:.3f} to {change.ious[1]:.3f}", uri]
    if reason is not None and reason != UNTOLD:
        lines.append(f"Drawn without its image: {reason}")
    return encode_picture(image, name, alt, lines)
