"""Prints what exports, imports, backups and restores came to."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from pipeline.cli.console import out, print_line
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.messages import quantify, sanitize

with lazy_imports():
    import schemas.coco
    from pipeline.transfer import export_parquet, import_parquet

_MOST_SHOWN = 100


def print_export(summary: export_parquet.ExportSummary, target: str, seconds: float) -> None:
    """Print what an export or a backup came to."""
    print_line(
        out(),
        f"{quantify(summary.objects, 'object')} of {quantify(summary.images, 'image')} in "
        f"{quantify(summary.files, 'file')}, {summary.size_bytes / 1e6:,.1f} MB, written to "
        f"{target} in {seconds:.1f} s",
    )
    if summary.broken:
        typer.echo(
            f"{quantify(summary.broken, 'object')} left out, whose mask or box does not fit the "
            "image: `objseek verify` names the images.",
            err=True,
        )
    if summary.of_videos:
        typer.echo(
            f"{quantify(summary.of_videos, 'object')} of videos left out: coco and parquet have "
            "them.",
            err=True,
        )
    if summary.queued:
        typer.echo(
            f"{quantify(summary.queued, 'image')} did not have the points that were recorded, or "
            "were just being written: the next ingest into that copy does them again.",
            err=True,
        )
    if summary.left_out:
        typer.echo(
            f"{quantify(summary.left_out, 'point')} of images that are not recorded, or of another "
            "version of them, will be left out when this is read.",
            err=True,
        )


def print_left_out(annotations: Sequence[schemas.coco.BadAnnotation]) -> None:
    """Print which annotations of a COCO file were left out, and why."""
    for annotation in annotations[:_MOST_SHOWN]:
        print_line(out(), f"left out: {sanitize(str(annotation))}")
    if len(annotations) > _MOST_SHOWN:
        print_line(out(), f"and {len(annotations) - _MOST_SHOWN:,} more")
    if annotations:
        print_line(out(), f"{quantify(len(annotations), 'annotation')} left out as wrong")


def print_import(summary: import_parquet.ImportSummary, location: str) -> None:
    """Print what an import or a restore brought into the index at `location`."""
    print_line(
        out(),
        f"{quantify(summary.points, 'point')} of {quantify(summary.images, 'image')} are in "
        f"{location} now",
    )
