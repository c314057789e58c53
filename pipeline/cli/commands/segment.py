"""`objseek segment`: masks of images, by what is asked for; no index is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    CONFIG,
    EXCLUDE,
    INCLUDE,
    MODEL_OPTIONS,
    STORE_OPTIONS,
)
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import run_segment, segment_output, segment_query

_HELP = """Segment images: everything, at points and boxes, by a text, or every pixel by labels.

No index is needed. Points, a box and a mask are one prompt together, as in segment-anything's
predictor: points 1 are on the object, points 0 are not. A text is compared with each mask that the
segmenter finds, and told from the labels of the list that the settings name; with a detector, see
docs/segmentation.md, it is looked for by that, and its boxes are filled. With --labels each
pixel goes to its best segment, and each segment to its nearest label; what is left is void.

Examples:

    objseek segment kitchen.jpg --overlay masks.png

    objseek segment kitchen.jpg --point 130,180 --point 40,60,0 --png masks

    objseek segment kitchen.jpg --box 40,60,220,310 --mask earlier.png --json

    objseek segment s3://photos/2026/ --text "a mug" --coco mugs.json --overlay pictures

    objseek segment photos --labels things.txt --panoptic panoptic.json

    objseek segment photos --boxes detections.json --segmenter sam_vit_b --rle masks.jsonl
"""
_PROMPTS, _OUTPUTS = "What to segment", "Where to write it"


def register(app: typer.Typer) -> None:
    """Add `segment` to the command line."""
    app.command("segment", help=_HELP)(segment_command)


@add_options(*MODEL_OPTIONS, *STORE_OPTIONS, INCLUDE, EXCLUDE, CONFIG)
@user_errors
def segment_command(
    load: Load,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Files, folders, globs or s3://bucket/prefix."),
    ],
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            help="All that the segmenter finds: what is done without other prompts.",
            rich_help_panel=_PROMPTS,
        ),
    ] = False,
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y[,0|1]",
            help="A point on the object, in pixels; with 0 one that is not on it. May be given "
            "several times.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X0,Y0,X1,Y1",
            help="A box round the object, in pixels.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="An earlier mask of the object, of the image's size, white inside.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="What the masks should show, in words. May be given several times.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="With --text: how likely a mask has to show it.",
            show_default="the embedder's or detector's own",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Every pixel by these labels, one a line.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A COCO or Parquet file of boxes around objects: a mask for each.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    coco: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="COCO instances.", rich_help_panel=_OUTPUTS),
    ] = None,
    panoptic: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON",
            help="COCO panoptic, its PNGs in a folder of the same name; overlaps go to the surest.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    rle: Annotated[
        Path | None,
        typer.Option(
            metavar="JSONL", help="A line of JSON for each mask.", rich_help_panel=_OUTPUTS
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="A PNG for each mask, white inside.", rich_help_panel=_OUTPUTS
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG|FOLDER",
            help="The picture with its masks drawn; a folder for several.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    given = segment_query.GivenPrompts(
        points=point or (),
        box=box,
        mask=mask,
        texts=text or (),
        labels=labels,
        boxes=boxes,
        everything=everything,
        min_probability=min_probability,
    )
    run_segment.run_segment(
        images,
        given.parse(),
        load(boxes=boxes),
        segment_output.Outputs(coco, panoptic, rle, png, overlay),
        as_json=as_json,
    )
