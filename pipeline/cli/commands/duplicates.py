"""`objseek duplicates`: images, or objects, that are nearly the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CONFIG, INDEX, INDEX_EMBEDDER, STATE, STORE_OPTIONS
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import run_duplicates
    from pipeline.search import filter_syntax

_HELP = """List images that are nearly the same, or objects, in groups: what could be deleted.

Of each group the largest stands first: it is the one to keep, and all others are as alike to it as
was asked for, to that one and not only to each other. What is alike is found by the index's own
search for the nearest vectors, and looked at once more by the thumbnails that are kept. Masks of
one object in one image are no duplicates. Nothing is changed. While a service has the index open,
a copy of it is read.

Examples:

    objseek duplicates --index photos-index --sheet duplicates.png

    objseek duplicates --objects --filter labels=mug --similarity 0.95

    objseek duplicates --filter 'uri^=s3://photos/2026/' --csv > duplicates.csv
"""


def register(app: typer.Typer) -> None:
    """Add `duplicates` to the command line."""
    app.command("duplicates", help=_HELP)(duplicates_command)


@add_options(INDEX, STATE, INDEX_EMBEDDER, *STORE_OPTIONS, CONFIG)
@user_errors
def duplicates_command(
    load: Load,
    objects: Annotated[
        bool, typer.Option("--objects", help="Objects rather than whole images.")
    ] = False,
    similarity: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The least cosine similarity to the one that is kept.",
            show_default="0.9",
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            "-f",
            help="Only what meets a condition: a field, one of = != < <= > >= ^= (begins with), a "
            "value. May be given several times.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=1, help="At most this many groups, those of the most members."
        ),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the result as CSV on standard output.")
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write a contact sheet of the groups to this file; replaces one."),
    ] = None,
) -> None:
    """The command; its help stands above."""
    wanted = run_duplicates.DuplicatesRequest(
        kind="object" if objects else "image",
        conditions=filter_syntax.parse_conditions(filters or ()),
        similarity=similarity,
        limit=limit,
    )
    form = run_duplicates.choose_form(as_json=as_json, as_csv=as_csv)
    run_duplicates.run_duplicates(wanted, load(), form, sheet)
