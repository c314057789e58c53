"""`objseek label`: what the objects of an index are called."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import err, out, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    CALIBRATION,
    CONFIG,
    INDEX,
    INDEX_EMBEDDER,
    STATE,
)
from pipeline.cli.shared_options import Load, add_options
from pipeline.messages import quantify

with lazy_imports():
    from pipeline.cli import progress_bars
    from pipeline.jobs import label

_HELP = """Give every object of an index its most likely labels, without embedding anything again.

Labels come from a list of texts: a bundled one, or a file with one label per line, which a colon
and further words to search with may follow ("mug: cup, kitchen"). Searches can filter by labels,
count them, and find objects by their words. An ingest labels what it writes; this command is for
another list, and for older indexes. An interrupted run continues where it stopped.

Examples:

    objseek label --index photos-index

    objseek label --index photos-index --names products.txt --top-k 5
"""


def register(app: typer.Typer) -> None:
    """Add `label` to the command line."""
    app.command("label", help=_HELP)(label_command)


@add_options(INDEX, STATE, INDEX_EMBEDDER, CALIBRATION, CONFIG)
@user_errors
def label_command(
    load: Load,
    names: Annotated[
        str | None,
        typer.Option(
            help="general, emoji, or a file with one label per line.",
            show_default="by the embedder",
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="At most this many labels per object.", show_default="3")
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Only labels of at least this probability.", show_default="0.05"),
    ] = None,
) -> None:
    """The command; its help stands above."""
    with progress_bars.show_progress(err()) as progress:
        settings = load(labels={"names": names, "top_k": top_k, "min_score": min_score})
        summary = label.label(settings, progress)
    out().print(
        f"{quantify(summary.labelled, 'point')} labelled from {summary.labels:,} labels, "
        f"{summary.unchanged:,} unchanged"
    )
