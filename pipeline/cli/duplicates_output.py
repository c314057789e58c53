"""Prints groups of near-duplicates as a table, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

import typer

from pipeline.cli.tables import print_rows
from pipeline.search.near_duplicates import AlikeGroup, AlikePoint

Form = Literal["table", "json", "csv"]
_COLUMNS = ("group", "similarity", "size px", "box", "labels", "image", "object id")
_CSV_COLUMNS = (
    "group", "keep", "similarity", "object_id", "image_id", "uri", "width", "height",
    "x0", "y0", "x1", "y1", "labels",
)  # fmt: skip
_MOST_LABELS = 2


def print_groups(groups: Sequence[AlikeGroup], form: Form) -> None:
    """Print groups in their order, those to keep first, to standard output."""
    if form == "json":
        typer.echo(json.dumps([_group_fields(group) for group in groups], indent=2))
    elif form == "csv":
        typer.echo(_write_csv(groups), nl=False)
    elif groups:
        rows = [
            _cells(number, point)
            for number, group in enumerate(groups, 1)
            for point in group.points
        ]
        print_rows(_COLUMNS, rows, stacked=2, right=len(_COLUMNS) - 4)


def _group_fields(group: AlikeGroup) -> dict[str, Any]:
    return {"keep": _fields(group.kept), "others": [_fields(point) for point in group.others]}


def _fields(point: AlikePoint) -> dict[str, Any]:
    return {
        "object_id": point.object_id,
        "image_id": point.image_id,
        "uri": point.uri,
        "similarity": round(point.similarity, 6),
        "size_wh": point.size_wh,
        "bbox": point.bbox_xyxy,
        "labels": point.labels,
    }


def _write_csv(groups: Sequence[AlikeGroup]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for number, group in enumerate(groups, 1):
        for point in group.points:
            keep, similarity = int(point is group.kept), f"{point.similarity:.6f}"
            place = (point.uri, *point.size_wh, *point.bbox_xyxy)
            labels = "|".join(point.labels)
            writer.writerow(
                (number, keep, similarity, point.object_id, point.image_id, *place, labels)
            )
    return text.getvalue()


def _cells(number: int, point: AlikePoint) -> tuple[str, ...]:
    x0, y0, x1, y1 = point.bbox_xyxy
    return (
        str(number),
        f"{point.similarity:.3f}",
        f"{x1 - x0} x {y1 - y0}",
        f"{x0},{y0},{x1},{y1}",
        ", ".join(point.labels[:_MOST_LABELS]) or "-",
        point.uri,
        point.object_id,
    )
