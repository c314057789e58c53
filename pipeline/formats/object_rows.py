"""Writes objects as lines of a table of comma-separated values, for spreadsheets."""

from __future__ import annotations

import csv
import io

from schemas.labels import UNLABELLED
from schemas.payload import PointPayload

COLUMNS = (
    "object_id", "uri", "kind", "label", "score", "labels", "tags", "segmenter_label",
    "x0", "y0", "x1", "y1", "area", "area_frac", "predicted_iou", "width", "height",
    "t_start", "t_end", "t_key", "rle",
)  # fmt: skip
_BETWEEN = "; "
# Of a text that begins so, a spreadsheet would make a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_cells(*cells: object) -> str:
    """One line; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def write_object_row(object_id: str, payload: PointPayload) -> str:
    """The line of an object, or of an image as a whole, in the order of `COLUMNS`.

    `label` is the surest, with its score; box and area are in pixels, the box half-open, times in
    seconds; lists are between `; `. The mask is COCO's compressed run lengths, empty where it does
    not fit the image. A text that a spreadsheet would take for a formula has an apostrophe before
    it.
    """
    labels = payload.labels or ()
    mask = payload.sound_mask()
    return write_cells(
        object_id, _to_text(payload.uri), payload.kind,
        _to_text(labels[0] if labels else UNLABELLED),
        payload.label_scores[0] if payload.label_scores else None,
        *(_to_text(_BETWEEN.join(names)) for names in (labels, payload.tags or ())),
        _to_text(payload.segmenter_label or ""),
        *payload.bbox, payload.area, payload.area_frac, payload.predicted_iou,
        payload.width, payload.height, payload.t_start, payload.t_end, payload.t_key,
        None if mask is None else mask.counts,
    )  # fmt: skip


def _to_text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
