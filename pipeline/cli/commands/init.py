"""`objseek init`: a collection of a Qdrant server, set up for so many objects."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from pipeline.cli.console import out, print_line, user_errors
from pipeline.cli.finite_numbers import check_finite
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CONFIG, EMBEDDER, INDEX
from pipeline.cli.output_options import AsJson, DryRun
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import init_report, run_init
    from workers.indexes import location

_HELP = """Set up a collection of a Qdrant server for so many objects, and explain each choice.

Chosen are shards, replicas, how vectors are quantized and what lies on disk, the payload indexes,
and whether the graph is made once after all is written (bulk mode) or as points come; with what
they take of memory and disk. An ingest makes a collection by itself: this is for one that is to
hold many millions, on several nodes or in little memory, as most of it cannot be changed later.

A collection that is there is never changed. A folder or a Lance table needs no setting up.

Examples:

    objseek init --index http://qdrant:6333/photos --objects 50000000 --nodes 3 --memory 64GB

    objseek init --index http://qdrant:6333/photos --objects 1000000000 --nodes 8 --dry-run --json

    objseek init --index http://qdrant:6333/photos --objects 200000 --embedder ViT-L-14/openai

After bulk mode, and the ingests that fill it:

    objseek optimize --index http://qdrant:6333/photos
"""
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(MB|GB|TB|MiB|GiB|TiB)\s*", re.IGNORECASE)
_UNITS = {"mb": 1e6, "gb": 1e9, "tb": 1e12, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40}


def _parse_size(text: str) -> float:
    """Bytes of `64GB`. Raises BadParameter."""
    found = _SIZE.fullmatch(text)
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"expected a size such as 64GB or 512GiB, got {text!r}")
    return float(found[1]) * _UNITS[found[2].lower()]


def register(app: typer.Typer) -> None:
    """Add `init` to the command line."""
    app.command("init", help=_HELP)(init_command)


@add_options(INDEX, CONFIG, EMBEDDER)
@user_errors
def init_command(
    load: Load,
    objects: Annotated[int, typer.Option(min=1, max=10**12, help="How many it is to hold.")],
    nodes: Annotated[int, typer.Option(min=1, max=10_000, help="Nodes of the server.")] = 1,
    replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Copies of each point, on different nodes.",
            show_default="2 on three nodes or more, else 1",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            parser=_parse_size,
            metavar="SIZE",
            help="Memory of each node, such as 64GB: the most exact layout that fits is chosen.",
            show_default="what it takes is said",
        ),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(min=1, max=65_536, help="Numbers of a vector.", show_default="the embedder's"),
    ] = None,
    objects_per_image: Annotated[
        float,
        typer.Option(
            min=0.01,
            callback=check_finite,
            help="Objects of an image: each image is a point as well.",
        ),
    ] = 10.0,
    bulk: Annotated[
        bool | None,
        typer.Option(
            "--bulk/--no-bulk",
            help="Make the graph later, by `objseek optimize`.",
            show_default="for a million points or more",
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    place = settings.index.location
    if (kind := location.kind_of(place)) != "server":
        if as_json:
            typer.echo(json.dumps({"index": place, "made": None}, indent=2))
            return
        name = "folder" if kind == "folder" else "Lance table"
        print_line(out(), f"A {name} is made by its first ingest: nothing is to be set up.")
        return
    outcome = run_init.set_up_index(
        settings,
        run_init.InitRequest(
            objects=objects,
            objects_per_image=objects_per_image,
            nodes=nodes,
            replicas=replicas,
            memory_bytes=memory,
            dim=dim,
            filling=bulk,
            dry_run=dry_run,
        ),
    )
    if as_json:
        typer.echo(json.dumps(init_report.to_json(outcome, place), indent=2))
        return
    init_report.print_outcome(outcome, place)
