"""Masks of a COCO instances file: each is looked at, and what is wrong is told by its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from schemas.errors import UsageError, VectorIndexError
from schemas.masks import CocoRle, ObjectMask


@dataclass(frozen=True, slots=True)
class CocoImageMasks:
    """One image of the file; `uri` and `version` only where the file has them. Largest first."""

    file_name: str
    uri: str | None
    version: str | None
    masks: tuple[ObjectMask, ...]


def read_coco(path: Path) -> list[CocoImageMasks]:
    """All images of an instances file, with all their masks; all of it is in memory.

    Raises UsageError for a file that cannot be read, VectorIndexError that names the first image or
    annotation that is wrong.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise VectorIndexError(f"expected a COCO file, {path} is no JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise VectorIndexError(f"expected a COCO file, {path} holds no object")
    images = dict(_images(_listed(document, "images", path), path))
    masks: dict[Any, list[ObjectMask]] = {identity: [] for identity in images}
    seen: set[Any] = set()
    for number, entry in enumerate(_listed(document, "annotations", path), start=1):
        where = f"{path}, annotation {number}"
        identity, image = _field(entry, "id", where), _field(entry, "image_id", where)
        if identity in seen:
            raise VectorIndexError(f"{where}: expected every id once, {identity!r} stands twice")
        seen.add(identity)
        if image not in images:
            raise VectorIndexError(f"{where}: expected the id of an image, got {image!r}")
        masks[image].append(_mask(entry, images[image], where))
    return [
        CocoImageMasks(
            file_name=str(image["file_name"]),
            uri=image.get("uri"),
            version=image.get("version"),
            masks=tuple(sorted(masks[identity], key=lambda mask: -mask.area_px)),
        )
        for identity, image in images.items()
    ]


def _images(entries: Sequence[Any], path: Path) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    seen: set[Any] = set()
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, image {number}"
        identity = _field(entry, "id", where)
        if identity in seen:
            raise VectorIndexError(f"{where}: expected every id once, {identity!r} stands twice")
        seen.add(identity)
        _field(entry, "file_name", where)
        for side in ("height", "width"):
            if not isinstance(_field(entry, side, where), int) or entry[side] < 1:
                raise VectorIndexError(f"{where}: expected {side} in pixels, got {entry[side]!r}")
        for name in ("uri", "version"):
            if not isinstance(entry.get(name), str | None):
                raise VectorIndexError(f"{where}: expected {name} as a text, got {entry[name]!r}")
        yield identity, entry


def _mask(entry: Mapping[str, Any], image: Mapping[str, Any], where: str) -> ObjectMask:
    size_hw = (image["height"], image["width"])
    rle = _rle(_field(entry, "segmentation", where), size_hw, where)
    try:
        inside = rle.decode()
    except ValueError as exc:
        raise VectorIndexError(f"{where}: expected an RLE, {exc}") from exc
    if not inside.any():
        raise VectorIndexError(f"{where}: expected a mask, got one without a pixel")
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return ObjectMask(
        rle=rle,
        bbox_xyxy=(x0, y0, x1, y1),
        area_px=int(inside.sum()),
        predicted_iou=_share(entry, "predicted_iou", where),
        stability_score=_share(entry, "stability_score", where),
        point_xy=((x0 + x1) / 2, (y0 + y1) / 2),
    )


def _rle(segmentation: Any, size_hw: tuple[int, int], where: str) -> CocoRle:
    """COCO's three forms: compressed and uncompressed RLE, and polygons."""
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str):
        size = segmentation.get("size")
        if size != list(size_hw):
            raise VectorIndexError(f"{where}: expected a mask of {list(size_hw)}, got {size!r}")
        return CocoRle(size_hw, segmentation["counts"])
    try:
        encoded = coco.frPyObjects(segmentation, *size_hw)
        merged = coco.merge(encoded) if isinstance(encoded, list) else encoded
        rle = CocoRle(tuple(merged["size"]), merged["counts"].decode())
    # What pycocotools raises depends on how wrong it is.
    except Exception as exc:
        raise VectorIndexError(
            f"{where}: expected an RLE or polygons, got {str(segmentation)[:80]}"
        ) from exc
    if rle.size_hw != size_hw:
        raise VectorIndexError(f"{where}: expected a mask of {size_hw}, got one of {rle.size_hw}")
    return rle


def _share(entry: Mapping[str, Any], name: str, where: str) -> float:
    """A score of segment-anything's; 1 where the file tells none: somebody believes in the mask."""
    value = entry.get(name, 1.0)
    if not isinstance(value, (int, float)) or not 0 <= value <= 1.5:
        raise VectorIndexError(f"{where}: expected {name} as a number up to 1, got {value!r}")
    return float(value)


def _listed(document: Mapping[str, Any], name: str, path: Path) -> Sequence[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise VectorIndexError(f"expected a COCO file, {path} has no list of {name}")
    return found


def _field(entry: Any, name: str, where: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise VectorIndexError(f"{where}: expected {name}, there is none")
    value = entry[name]
    if name.endswith("id") and not isinstance(value, (int, str)):
        raise VectorIndexError(f"{where}: expected {name} as a number, got {value!r}")
    return value
