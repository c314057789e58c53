"""Writes objects as lines of a table of comma-separated values, for spreadsheets."""

from __future__ import annotations

import csv
import io

from pipeline.formats.exported_object import ExportedObject

COLUMNS = (
    "object_id", "uri", "label", "score", "x0", "y0", "x1", "y1", "area", "width", "height",
    "rle",
)  # fmt: skip


def write_cells(*cells: object) -> str:
    """One line; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def write_object_row(found: ExportedObject) -> str:
    """An object's line, in the order of `COLUMNS`: its box in pixels, half-open, and COCO's RLE."""
    height, width = found.image.size_hw
    return write_cells(
        found.object_id, found.image.uri, found.label, found.score, *found.bbox_xyxy,
        found.rle.area_px, width, height, found.rle.counts,
    )  # fmt: skip
