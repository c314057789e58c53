"""Reads files of boxes, COCO or Parquet, and finds the images that they are in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingestion.image_places import locate_image
from pipeline.settings import Settings
from schemas.boxes import BoxXyxy, ImageBoxes, check_box
from schemas.coco_reader import load_boxes
from schemas.errors import DatasetError, UsageError, one_line
from schemas.ids import image_id
from schemas.images import ImageRef

_BOX = "bbox"
_WHERE = ("uri", "file_name")


@dataclass(frozen=True, slots=True)
class _Entry:
    """The boxes of an image as a file has them; `size_hw` None: it does not tell."""

    file_name: str
    uri: str | None
    size_hw: tuple[int, int] | None
    boxes_xyxy: Sequence[BoxXyxy]


def read_boxes(path: Path, sources: Sequence[str]) -> dict[UUID, ImageBoxes]:
    """The boxes of every image that has any in a file, by image id.

    COCO: `bbox` is [x, y, width, height]. Parquet: a row a box, `bbox` is [x0, y0, x1, y1]; `uri`
    or `file_name` says where. Images without a uri are called by their `file_name` below each of
    the `sources` that is a folder or an s3://bucket/prefix. Raises DatasetError that names what is
    wrong, UsageError for images that nothing says the place of.
    """
    path = path.expanduser()
    entries = _read_parquet(path) if path.suffix == ".parquet" else _read_coco(path)
    roots = [root for root in map(_find_root, sources) if root is not None]
    boxes: dict[UUID, ImageBoxes] = {}
    for entry in entries:
        for image in map(image_id, _locate(entry, roots, path)):
            boxes[image] = _join(boxes.get(image), entry, path)
    if not boxes:
        raise DatasetError(f"there are no boxes in {path}")
    return boxes


def read_setting_boxes(settings: Settings, sources: Sequence[str]) -> dict[UUID, ImageBoxes]:
    """What `read_boxes` gives of the file that the settings name; nothing if they name none."""
    return {} if settings.boxes is None else read_boxes(settings.boxes, sources)


def _join(before: ImageBoxes | None, entry: _Entry, path: Path) -> ImageBoxes:
    if before is None:
        return ImageBoxes(tuple(entry.boxes_xyxy), entry.size_hw)
    if before.size_hw != entry.size_hw:
        raise DatasetError(
            f"expected one size of {entry.file_name!r}, which is in {path} more than once, "
            f"got {before.size_hw} and {entry.size_hw} (height, width)"
        )
    return ImageBoxes((*before.boxes_xyxy, *entry.boxes_xyxy), entry.size_hw)


def _locate(entry: _Entry, roots: Sequence[str], path: Path) -> list[ImageRef]:
    if entry.uri is not None:
        return [locate_image(entry.file_name, entry.uri, "", None)]
    if not roots:
        raise UsageError(
            f"expected a folder or s3://bucket/prefix that {entry.file_name!r} lies in, as {path} "
            "tells no uri of it"
        )
    return [locate_image(entry.file_name, None, "", root) for root in roots]


def _find_root(source: str) -> str | None:
    """What names are below of a source; None for a file or a glob."""
    if source.startswith("s3://"):
        return source
    if source.startswith("file://"):
        source = ImageRef.from_uri(source, "", 0).key
    return source if os.path.isdir(Path(source).expanduser()) else None


def _read_coco(path: Path) -> Iterator[_Entry]:
    document = load_boxes(path)
    boxes: dict[object, list[BoxXyxy]] = {}
    for annotation in document.annotations:
        boxes.setdefault(annotation.image_id, []).append(annotation.bbox_xyxy)
    for image in document.images:
        if image.id in boxes:
            yield _Entry(image.file_name, image.uri, image.size_hw, boxes[image.id])


def _read_parquet(path: Path) -> Iterator[_Entry]:
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in _WHERE if name in file.schema_arrow.names]
            if not names or _BOX not in file.schema_arrow.names:
                raise DatasetError(
                    f"expected the columns uri or file_name, and bbox, in {path}, "
                    f"got {', '.join(file.schema_arrow.names)}"
                )
            number = 0
            for batch in file.iter_batches(columns=[*names, _BOX]):
                for row in batch.to_pylist():
                    number += 1
                    yield _read_row(row, f"{path}, row {number:,}")
    except (pa.ArrowException, OSError) as exc:
        raise DatasetError(
            f"expected a Parquet file of boxes, {path} cannot be read: {one_line(exc)}"
        ) from exc


def _read_row(row: dict[str, object], where: str) -> _Entry:
    uri, name, box = row.get("uri"), row.get("file_name"), row[_BOX]
    if not isinstance(uri, str) and not isinstance(name, str):
        raise DatasetError(f"{where}: expected a uri or a file_name, got none")
    numbers = box if isinstance(box, list) else []
    if len(numbers) != 4 or not all(isinstance(side, int | float) for side in numbers):
        raise DatasetError(f"{where}: expected bbox to be four numbers x0, y0, x1, y1, got {box!r}")
    x0, y0, x1, y1 = map(float, numbers)
    try:
        check_box((x0, y0, x1, y1))
    except DatasetError as exc:
        raise DatasetError(f"{where}: {exc}") from exc
    text = uri if isinstance(uri, str) else None
    return _Entry(str(name or uri), text, None, [(x0, y0, x1, y1)])
