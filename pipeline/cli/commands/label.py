"""`objseek label`: what the objects of an index are called."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import err, out, user_errors
from pipeline.cli.options import Config, Index
from pipeline.messages import quantify

_HELP = """Give every object of an index its most likely labels, without embedding anything again.

Labels come from a list of texts: one that comes along, or a file with a label a line, each with a
colon and further words to search with if you like ("mug: cup, kitchen"). They can be filtered by
and counted, and searched for by word. An ingest labels what it writes; this is for another list,
and for older indexes. It goes on where it was interrupted.

Examples:

    objseek label --index photos-index

    objseek label --index photos-index --names products.txt --top-k 5
"""


def register(app: typer.Typer) -> None:
    """Add `label` to the command line."""
    app.command("label", help=_HELP)(label_command)


@user_errors
def label_command(
    index: Index = None,
    names: Annotated[
        str | None,
        typer.Option(
            help="general, emoji, or a file with a label a line.", show_default="by the embedder"
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="At most this many labels an object.", show_default="3")
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Only labels of at least this probability.", show_default="0.05"),
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="The embedder; default: the one that made the index.")
    ] = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.jobs.label import label
    from pipeline.settings import load_settings

    overrides = {
        "index": {"location": index},
        "labels": {"names": names, "top_k": top_k, "min_score": min_score},
        "embedder": {"name": embedder},
    }
    with show_progress(err()) as progress:
        summary = label(load_settings(config, overrides), progress)
    out().print(
        f"{quantify(summary.labelled, 'point')} labelled from {summary.labels:,} labels, "
        f"{summary.unchanged:,} had theirs"
    )
