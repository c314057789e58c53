"""`objseek plan`: what an ingest will cost, before it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.finite_numbers import check_finite
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import INGEST_OPTIONS
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import plan_report, run_plan
    from pipeline.planning import plan

_HELP = """Say what an ingest will cost before it runs: time, money and storage, part by part.

A sample of the source is read, and this machine works on it for a minute with the models that an
ingest would have, into an index that is thrown away. With --gpu the speed is another machine's: of
one that comes with objseek (h100, cpu2), or of a file that --save-profile made there.

Below the table stands what all waits for, what one more worker, reader or machine would change, and
what was assumed. Prices are list prices of AWS; a file of your own takes the place of any of them
(--prices).

Examples:

    objseek plan s3://photos/2026/ --images 2000000 --workers 2

    objseek plan ~/Pictures --segmenter sam_vit_b --save-profile workstation.toml

    objseek plan --images 1000000000 --objects-per-image 10 --gpu h100 --nodes 64

    objseek plan s3://photos --count --gpu workstation.toml --index lance+s3://indexes/photos --json
"""
_IMAGES, _MACHINE, _MONEY = "The images", "The machine", "The bill"


def register(app: typer.Typer) -> None:
    """Add `plan` to the command line."""
    app.command("plan", help=_HELP)(plan_command)


@add_options(*INGEST_OPTIONS)
@user_errors
def plan_command(
    load: Load,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE...]", help="What is to be ingested; else --images."),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many there are.", show_default="counted", rich_help_panel=_IMAGES
        ),
    ] = None,
    objects_per_image: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=check_finite,
            help="Objects of an image.",
            show_default="found",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    megapixels: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            callback=check_finite,
            help="Of an image.",
            show_default="found",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    megabytes: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=check_finite,
            help="Of an image.",
            show_default="found",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    count: Annotated[
        bool,
        typer.Option("--count", help="List all of a bucket to count it.", rich_help_panel=_IMAGES),
    ] = False,
    sample: Annotated[
        int, typer.Option(min=1, help="Images that are read.", rich_help_panel=_IMAGES)
    ] = 40,
    gpu: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Take another machine's speed: h100, cpu2, or a profile's .toml file.",
            show_default="this machine, measured",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    nodes: Annotated[
        int,
        typer.Option(min=1, help="Machines, each with its workers.", rich_help_panel=_MACHINE),
    ] = 1,
    seconds: Annotated[
        float,
        typer.Option(
            min=1,
            callback=check_finite,
            help="How long to measure.",
            rich_help_panel=_MACHINE,
        ),
    ] = 60.0,
    save_profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep what was measured.", rich_help_panel=_MACHINE),
    ] = None,
    transfer: Annotated[
        Literal["same-region", "other-region", "internet"],
        typer.Option(help="Where a bucket's bytes go.", rich_help_panel=_MONEY),
    ] = "same-region",
    usd_per_hour: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=check_finite,
            help="What a machine costs.",
            rich_help_panel=_MONEY,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own prices (TOML).", rich_help_panel=_MONEY),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    wishes = plan.Wishes(images, objects_per_image, megapixels, megabytes, transfer)
    request = run_plan.PlanRequest(
        machine=gpu,
        machines=nodes,
        sampled=sample,
        seconds=seconds,
        count=count,
        prices=prices,
        usd_per_hour=usd_per_hour,
        save_profile=save_profile,
    )
    made = run_plan.make_plan(sources or (), load(), wishes, request)
    if as_json:
        typer.echo(json.dumps(made.to_json(), indent=2))
        return
    plan_report.print_plan(made)
