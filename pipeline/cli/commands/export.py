"""`objseek export` and `objseek import`: an index as files for other programs, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import err, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import INGEST_OPTIONS, PLACE_OPTIONS, Strict
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.transfer_output import print_export, print_import, print_left_out
from pipeline.cli.vector_output import print_imported, print_plan
from schemas.errors import UsageError

with lazy_imports():
    from pipeline.cli import forecast_output, progress_bars, run_job
    from pipeline.transfer import (
        export_coco,
        export_csv,
        export_fiftyone,
        export_label_studio,
        export_parquet,
        export_yolo,
        import_coco,
        import_parquet,
    )
    from pipeline.transfer import forecast as transfer_forecast
    from pipeline.transfer.sources import open_source
    from pipeline.transfer.vectors import columns as vector_columns
    from pipeline.transfer.vectors import import_vectors, plan, values

_VECTORS = "Vectors"

_EXPORT = """Write all objects of an index to files that other programs read.

parquet: a folder, or s3://bucket/prefix, with a row for every object (and one for every image as
a whole): vector, mask as COCO RLE, box, uri, labels and everything else known of it, below
points/kind=object/ and points/kind=image/; images/ has what the manifest records of each image,
and images/videos/ the masks that objects of videos have in each frame that was looked at.
`objseek import` reads it back, bit for bit.

coco: one JSON file of instances, with every mask and its most likely label; no vectors. Of a video
each frame that shows an object is an image, as in COCO-VID: `video_id`, `frame_id`, `instance_id`.

yolo: a folder that ultralytics trains on: labels/ with a polygon for every mask, holes cut open,
data.yaml with the classes, and images/ with links to images that are files of this machine;
images.csv lists all with their uris, to be fetched from a bucket.

fiftyone: a folder in FiftyOne's own format (FiftyOneDataset) with masks, boxes, tags, scores and
ids; data/ has links to images as yolo's images/ has, images.csv lists all.

label-studio: a JSON file of tasks, an image each with its masks as brushes to be corrected, and
beside it the labelling interface, FILE.label_config.xml. csv: a line for every object.

Examples:

    objseek export photos-parquet --index photos-index

    objseek export s3://datasets/photos/ --index http://localhost:6333/photos

    objseek export masks.json --format coco --index photos-index --force

    objseek export photos-yolo --format yolo --index photos-index
"""
_IMPORT = """Bring an export, masks, or vectors that you already have into an index.

It is told apart by what is there; an index that does not exist is created.

An export or a backup of objseek: every row is checked before the first is written, and images that
the index has already are refused.

A COCO file of instances, which ends in .json, brings masks without vectors: they are embedded from
their images, without a segmenter. Images are where the file's uri says, or by their file_name below
--images. These masks replace what the index has of the images; categories are left out, as labels
are assigned anew, and tags come in. Annotations that are wrong are left out and listed, each with
its id and the reason, and so are frames of videos; with --strict the file is refused instead.

Vectors with where their images are: Parquet, Arrow or Feather files, .npy with .jsonl, .csv or
.parquet beside it, a Lance dataset, a Qdrant collection, a folder of clip-retrieval. What each
column is taken for is printed first (--dry-run: only that), and --columns says it otherwise. All
other columns of texts, numbers and truths become fields that searches filter by as own.NAME.
Further columns of vectors, of any length, are kept by their names (vector.title=COLUMN), for
`objseek search --vector title.npy --using title`. Rows with a box or a mask are objects, others
their images as a whole. Name the model that made the vectors with --embedder, so that texts can be
searched. Rows that are wrong are left out and listed. The same command again changes nothing, and
goes on where it was ended.

Examples:

    objseek import photos-parquet --index new-index

    objseek import s3://datasets/photos/ --index http://localhost:6333/photos

    objseek import instances_val2017.json --images s3://coco/val2017 --index coco-index

    objseek import vectors.parquet --dry-run

    objseek import vectors.parquet --embedder ViT-B-32/laion2b_s34b_b79k --index photos-index

    objseek import laion/ --columns uri=url,text=caption --index laion-index

    objseek import http://localhost:6333/products --images s3://shop/products --index shop-index
"""


class BoxNumbers(StrEnum):
    """What the four numbers of a box are; see `BoxForm`."""

    XYXY = "xyxy"
    XYWH = "xywh"


class Format(StrEnum):
    """What an export is written as."""

    PARQUET = "parquet"
    COCO = "coco"
    YOLO = "yolo"
    FIFTYONE = "fiftyone"
    LABEL_STUDIO = "label-studio"
    CSV = "csv"


_FILES = (Format.COCO, Format.LABEL_STUDIO, Format.CSV)


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command("export", help=_EXPORT)(export_command)
    app.command("import", help=_IMPORT)(import_command)


@add_options(*PLACE_OPTIONS)
@user_errors
def export_command(
    load: Load,
    target: Annotated[
        str,
        typer.Argument(
            help="A new folder or s3://bucket/prefix; a folder for yolo and fiftyone; a file for "
            "coco, label-studio and csv."
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.PARQUET,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file, or an export, that is there.")
    ] = False,
    images: Annotated[
        str | None,
        typer.Option(
            help="A folder or s3://bucket/prefix: coco and label-studio name images below it by "
            "the rest of their path."
        ),
    ] = None,
) -> None:
    """The command; its help stands above."""
    settings, began = load(), time.monotonic()
    if images is not None and form not in (Format.COCO, Format.LABEL_STUDIO):
        raise UsageError("expected --images with --format coco or label-studio only")
    if "://" in target and form in _FILES:
        raise UsageError(f"expected a file of this machine for {form}, got {target}")
    with progress_bars.show_progress(err()) as progress:
        write: Callable[..., export_parquet.ExportSummary]
        match form:
            case Format.PARQUET:
                write = partial(export_parquet.export, settings, target)
            case Format.YOLO:
                write = partial(export_yolo.export_yolo, settings, target)
            case Format.FIFTYONE:
                write = partial(export_fiftyone.export_fiftyone, settings, target)
            case Format.CSV:
                write = partial(export_csv.export_csv, settings, Path(target))
            case Format.COCO:
                write = partial(export_coco.export_coco, settings, Path(target), images=images)
            case Format.LABEL_STUDIO:
                export = export_label_studio.export_label_studio
                write = partial(export, settings, Path(target), images=images)
        summary = write(progress, replacing=force)
    print_export(summary, target, time.monotonic() - began)


@add_options(*INGEST_OPTIONS)
@user_errors
def import_command(
    load: Load,
    source: Annotated[
        str,
        typer.Argument(
            help="What an export has written, a COCO file of instances, or files of vectors."
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(
            help="Where images are that are named without a place: a folder or s3://bucket/prefix."
        ),
    ] = None,
    strict: Strict = False,
    columns: Annotated[
        str,
        typer.Option(
            metavar="FIELD=COLUMN,...",
            help="Which columns of vectors are what, such as vector=emb,vector.title=t,uri=url,"
            "sparse=idx+weights; FIELD= with nothing behind it: none.",
            rich_help_panel=_VECTORS,
        ),
    ] = "",
    boxes: Annotated[
        BoxNumbers,
        typer.Option(
            help="What four numbers of a box are: corners, or a corner, width and height; pixels.",
            rich_help_panel=_VECTORS,
        ),
    ] = BoxNumbers.XYXY,
    check: Annotated[
        bool,
        typer.Option(
            help="Whether a few images are embedded, to see that --embedder made the vectors.",
            rich_help_panel=_VECTORS,
        ),
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be brought in, of vectors what each column would be taken for, "
            "and write nothing.",
        ),
    ] = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    of_vectors = {
        "--columns": bool(columns),
        "--boxes": boxes is not BoxNumbers.XYXY,
        "--no-check": not check,
    }
    if source.endswith(".json"):
        if "://" in source:
            raise UsageError(f"expected a COCO file of this machine, got {source}")
        _refuse(of_vectors, f"vectors only, got {source}")
        path = Path(source).expanduser()
        if dry_run:
            with progress_bars.show_progress(err()) as progress:
                of_masks = import_coco.forecast_coco(
                    settings, path, images, progress, strict=strict
                )
            forecast_output.print_coco_import(of_masks)
            return
        work = partial(import_coco.import_coco, settings, path, images, strict=strict)
        brought = run_job.run_with_progress(settings, work, segmenting=False)
        print_left_out(brought.left_out)
        run_job.print_summary(brought.run, settings)
        return
    if open_source.is_own_export(source, settings):
        of_others = {"--images": images is not None, "--strict": strict, **of_vectors}
        _refuse(of_others, f"a COCO file or vectors only, got {source}")
        if dry_run:
            with progress_bars.show_progress(err()) as progress:
                found = transfer_forecast.forecast_import(settings, source, progress)
            forecast_output.print_transfer(found, as_json=False)
            return
        with progress_bars.show_progress(err()) as progress:
            summary = import_parquet.import_dataset(settings, source, progress)
        print_import(summary, settings.index.location)
        return
    options = plan.ImportOptions(
        vector_columns.parse_columns(columns), images, values.BoxForm(boxes), strict, check
    )

    def announce(planned: plan.ImportPlan) -> bool:
        print_plan(planned)
        return not dry_run

    try:
        with progress_bars.show_progress(err()) as progress:
            result = import_vectors.import_vectors(settings, source, options, announce, progress)
    except KeyboardInterrupt:
        typer.echo("What was written stays; the same command continues from there.", err=True)
        raise
    if not dry_run:
        print_imported(result, settings.index.location)


def _refuse(given: Mapping[str, bool], where: str) -> None:
    """Raise UsageError for the first of these options that was given."""
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"expected {option} with {where}")
