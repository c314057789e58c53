"""Writes chosen objects as a table in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from pipeline.selection.objects import ChosenObject

_COLUMNS = (
    "object_id", "uri", "kind", "labels", "label_score", "tags", "segmenter_label", "x0", "y0",
    "x1", "y1", "area_px", "area_frac", "predicted_iou", "width", "height", "t_start", "t_end",
    "t_key",
)  # fmt: skip
_BETWEEN = "; "
# Of a text that begins so, a spreadsheet would make a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(chosen: Iterable[ChosenObject]) -> bytes:
    """A row an object, in UTF-8: box and area in pixels, times in seconds; lists between `; `.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in chosen:
        writer.writerow(["" if value is None else value for value in _row(each)])
    return file.getvalue().encode()


def _row(chosen: ChosenObject) -> Sequence[object]:
    payload = chosen.payload
    return (
        chosen.object_id,
        _to_text(payload.uri),
        payload.kind,
        _to_text(_BETWEEN.join(payload.labels or ())),
        payload.label_scores[0] if payload.label_scores else None,
        _to_text(_BETWEEN.join(payload.tags or ())),
        _to_text(payload.segmenter_label or ""),
        *payload.bbox,
        payload.area,
        payload.area_frac,
        payload.predicted_iou,
        payload.width,
        payload.height,
        payload.t_start,
        payload.t_end,
        payload.t_key,
    )


def _to_text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
