"""`objseek export` and `objseek import`: what an index has, for other programs, and back."""

from __future__ import annotations

import time
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import err, out, user_errors
from pipeline.cli.options import Load, with_settings
from pipeline.cli.run_job import conclude, shown
from pipeline.messages import quantify

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.transfer.export_parquet import ExportSummary
    from pipeline.transfer.import_parquet import ImportSummary

_EXPORT = """Write all objects of an index to files that other programs read.

parquet: a folder, or s3://bucket/prefix, with a row for every object (and one for every image as
a whole): vector, mask as COCO RLE, box, uri, labels and all else that is known of it, below
points/kind=object/ and points/kind=image/; images/ has what the manifest records of each image.
`objseek import` reads it back, to the bit.

coco: one JSON file of instances, with every mask and its surest label; no vectors.

Examples:

    objseek export photos-parquet --index photos-index

    objseek export s3://datasets/photos/ --index http://localhost:6333/photos

    objseek export masks.json --format coco --index photos-index
"""
_IMPORT = """Bring an export back into an index, which is made if it is not there.

Every row is looked at before the first is written: wrong dimensions, broken masks, ids that stand
twice or do not follow from the uri, vectors that are none are told with file and row, and nothing
is changed. Images that the index has already are refused.

A COCO file of instances, which ends in .json, brings masks without vectors: they are embedded with
the images that they are of, and no segmenter is asked. Images are where the file's uri says, or by
their file_name below --images. These masks take the place of what the index has of the images;
categories are left out, as labels are given anew.

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
    app.command("export", help=_EXPORT)(with_settings(export_command, models=False))
    app.command("import", help=_IMPORT)(with_settings(import_command))


@user_errors
def export_command(
    load: Load,
    target: Annotated[
        str, typer.Argument(help="A new folder or s3://bucket/prefix; of coco, a file.")
    ],
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.PARQUET,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.transfer.export_coco import export_coco
    from pipeline.transfer.export_parquet import export

    settings, began = load(), time.monotonic()
    with show_progress(err()) as progress:
        if form is Format.COCO:
            summary = export_coco(settings, Path(target), progress)
        else:
            summary = export(settings, target, progress)
    tell_written(summary, target, time.monotonic() - began)


def tell_written(summary: ExportSummary, target: str, seconds: float) -> None:
    """Print what an export or a backup came to."""
    out().print(
        f"{quantify(summary.objects, 'object')} of {quantify(summary.images, 'image')} in "
        f"{quantify(summary.files, 'file')}, {summary.size_bytes / 1e6:,.1f} MB, written to "
        f"{target} in {seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    if summary.queued:
        typer.echo(
            f"{quantify(summary.queued, 'image')} did not have the points that were recorded, or "
            "were just being written to: there, the next ingest does them again.",
            err=True,
        )
    if summary.left_out:
        typer.echo(
            f"{quantify(summary.left_out, 'point')} of images that are not recorded, or of another "
            "version of them, will be left out when this is read.",
            err=True,
        )


def tell_brought_in(summary: ImportSummary, settings: Settings) -> None:
    """Print what an import or a restore came to."""
    out().print(
        f"{quantify(summary.points, 'point')} of {quantify(summary.images, 'image')} are in "
        f"{settings.index.location} now",
        markup=False,
        soft_wrap=True,
    )


@user_errors
def import_command(
    load: Load,
    source: Annotated[
        str, typer.Argument(help="What an export has written, or a COCO file of instances.")
    ],
    images: Annotated[
        str | None, typer.Option(help="Of a COCO file, where its images are: a folder or s3://….")
    ] = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.transfer.import_coco import import_coco
    from pipeline.transfer.import_parquet import import_dataset
    from schemas.errors import UsageError

    settings = load()
    if source.endswith(".json"):
        path = Path(source).expanduser()
        summary_of = partial(import_coco, settings, path, images)
        conclude(shown(settings, summary_of, segmenting=False), settings)
        return
    if images is not None:
        raise UsageError(f"expected --images with a COCO file only, got {source}")
    with show_progress(err()) as progress:
        summary = import_dataset(settings, source, progress)
    tell_brought_in(summary, settings)
