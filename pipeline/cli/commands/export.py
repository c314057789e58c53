"""`objseek export` and `objseek import`: an index as files for other programs, and back."""

from __future__ import annotations

import time
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import err, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    INGEST_OPTIONS,
    PLACE_OPTIONS,
    Strict,
)
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.transfer_output import print_export, print_import, print_left_out
from schemas.errors import UsageError

with lazy_imports():
    from pipeline.cli import progress_bars, run_job
    from pipeline.transfer import export_coco, export_parquet, import_coco, import_parquet

_EXPORT = """Write all objects of an index to files that other programs read.

parquet: a folder, or s3://bucket/prefix, with a row for every object (and one for every image as
a whole): vector, mask as COCO RLE, box, uri, labels and everything else known of it, below
points/kind=object/ and points/kind=image/; images/ has what the manifest records of each image,
and images/videos/ the masks that objects of videos have in each frame that was looked at.
`objseek import` reads it back, bit for bit.

coco: one JSON file of instances, with every mask and its most likely label; no vectors. Of a video
each frame that shows an object is an image, as in COCO-VID: `video_id`, `frame_id`, `instance_id`.

Examples:

    objseek export photos-parquet --index photos-index

    objseek export s3://datasets/photos/ --index http://localhost:6333/photos

    objseek export masks.json --format coco --index photos-index
"""
_IMPORT = """Bring an export back into an index, which is created if it does not exist.

Every row is checked before the first is written: wrong dimensions, broken masks, ids that occur
twice or do not follow from the uri, and invalid vectors are reported with file and row, and nothing
is changed. Images that the index has already are refused.

A COCO file of instances, which ends in .json, brings masks without vectors: they are embedded from
their images, without a segmenter. Images are where the file's uri says, or by their file_name below
--images. These masks replace what the index has of the images; categories are left out, as labels
are assigned anew. Annotations that are wrong are left out and listed, each with its id and the
reason, and so are frames of videos; with --strict the file is refused instead.

Examples:

    objseek import photos-parquet --index new-index

    objseek import s3://datasets/photos/ --index http://localhost:6333/photos

    objseek import instances_val2017.json --images s3://coco/val2017 --index coco-index
"""


class Format(StrEnum):
    """What an export is written as."""

    PARQUET = "parquet"
    COCO = "coco"


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command("export", help=_EXPORT)(export_command)
    app.command("import", help=_IMPORT)(import_command)


@add_options(*PLACE_OPTIONS)
@user_errors
def export_command(
    load: Load,
    target: Annotated[
        str, typer.Argument(help="A new folder or s3://bucket/prefix; for coco, a file.")
    ],
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.PARQUET,
) -> None:
    """The command; its help stands above."""
    settings, began = load(), time.monotonic()
    with progress_bars.show_progress(err()) as progress:
        if form is Format.COCO:
            summary = export_coco.export_coco(settings, Path(target), progress)
        else:
            summary = export_parquet.export(settings, target, progress)
    print_export(summary, target, time.monotonic() - began)


@add_options(*INGEST_OPTIONS)
@user_errors
def import_command(
    load: Load,
    source: Annotated[
        str, typer.Argument(help="What an export has written, or a COCO file of instances.")
    ],
    images: Annotated[
        str | None,
        typer.Option(help="For a COCO file, where its images are: a folder or s3://bucket/prefix."),
    ] = None,
    strict: Strict = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    if source.endswith(".json"):
        path = Path(source).expanduser()
        work = partial(import_coco.import_coco, settings, path, images, strict=strict)
        brought = run_job.run_with_progress(settings, work, segmenting=False)
        print_left_out(brought.left_out)
        run_job.print_summary(brought.run, settings)
        return
    if images is not None or strict:
        option = "--strict" if images is None else "--images"
        raise UsageError(f"expected {option} with a COCO file only, got {source}")
    with progress_bars.show_progress(err()) as progress:
        summary = import_parquet.import_dataset(settings, source, progress)
    print_import(summary, settings.index.location)
