"""`objseek search`: objects for a text, an image, a region of it, or another object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.filter_option import FilterCommand, Filters
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    CALIBRATION,
    CONFIG,
    DEVICE,
    INDEX,
    INDEX_EMBEDDER,
    STATE,
    STORE_OPTIONS,
)
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    import schemas.search
    from pipeline.cli import query_vectors, run_search, search_examples
    from pipeline.search import filter_syntax

_HELP = """Search for objects by texts, an image, a region of it, other objects, or all of these.

And by vectors of your own, which no model is needed for.

Several conditions may follow one --filter; all of them have to hold.

Examples:

    objseek search "a red apple" --sheet apples.png

    objseek search --image kitchen.jpg --box 40,60,220,310 --group-by image

    objseek search --image kitchen.jpg --point 130,180 "but in red^0.5" --diversity 0.5

    objseek search --vector query.npy --sparse query.json

    objseek search --vector title.npy --using title

    objseek search "a cup" --not "a glass" --filter 'uri^=s3://photos/2026/' 'labels=mug' --json
"""


def register(app: typer.Typer) -> None:
    """Add `search` to the command line."""
    app.command("search", cls=FilterCommand, help=_HELP)(search_command)


@add_options(INDEX, STATE, INDEX_EMBEDDER, CALIBRATION, DEVICE, *STORE_OPTIONS, CONFIG)
@user_errors
def search_command(
    load: Load,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="What to look for, in words; several count together, 'red^0.5' half as much.",
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Search with an image: a file or s3://bucket/key.")
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            help="Only the object of --image that this box is drawn round: x0,y0,x1,y1 in pixels."
        ),
    ] = None,
    exact_box: Annotated[
        bool, typer.Option("--exact-box", help="All that is in the --box, as it is.")
    ] = False,
    point: Annotated[
        str | None, typer.Option(help="Only the object at this point of --image: x,y in pixels.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Only the object of --image that a picture of its size shows, white inside.",
        ),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="Search with an indexed object, by its id. May be given several times."),
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option(help="Search with a vector: a .npy file of floats, as many as the index's."),
    ] = None,
    sparse: Annotated[
        Path | None,
        typer.Option(
            help="Search with a sparse vector: a JSON file, {'indices': [...], 'values': [...]}."
        ),
    ] = None,
    using: Annotated[
        str | None,
        typer.Option(help="Compare --vector with the named vectors of this name, and no others."),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            help="What the hits should not be like, in words. May be given several times.",
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(
            help="An indexed object that the hits should not be like. May be given several times."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most this many hits.")] = 10,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Only hits of at least this cosine similarity; with --sparse alone, dot product."
        ),
    ] = None,
    filters: Filters = None,
    kind: Annotated[
        Literal["auto", "object", "image", "any"],
        typer.Option(
            help="Objects, whole images, or both; auto: objects, and images for a whole --image."
        ),
    ] = "auto",
    group_by: Annotated[
        Literal["image"] | None, typer.Option(help="Only the best hits of each image.")
    ] = None,
    group_size: Annotated[
        int, typer.Option(help="With --group-by: hits per image; --limit counts images then.")
    ] = 1,
    max_overlap: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of hits in one image that share more than this part of the smaller mask, keep "
            "only the best; 1 keeps an object, its parts and its duplicates.",
        ),
    ] = 0.5,  # As SearchQuery has it, which takes 0.7 s to import; a test holds them equal.
    collapse: Annotated[
        bool,
        typer.Option("--collapse", help="Put near-duplicates of a better hit behind that one."),
    ] = False,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="Above 0: hits that differ from each other.")
    ] = 0.0,
    strategy: Annotated[
        Literal["average_vector", "best_score"],
        typer.Option(help="Near the mean of all examples, or near any of them."),
    ] = "average_vector",
    hybrid: Annotated[
        bool,
        typer.Option("--hybrid/--dense", help="Whether labels and words of the uri count too."),
    ] = True,
    cursor: Annotated[
        str | None, typer.Option(help="Continue after the page that ended with this cursor.")
    ] = None,
    as_json: AsJson = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write a contact sheet of the hits to this file; replaces one."),
    ] = None,
) -> None:
    """The command; its help stands above."""
    query = schemas.search.SearchQuery(
        vector=query_vectors.read_vector(vector),
        sparse=query_vectors.read_sparse(sparse),
        using=using,
        positive=(
            *search_examples.parse_texts(texts),
            *search_examples.parse_image(image, box, point, mask, exact_box=exact_box),
            *search_examples.parse_object_ids(like),
        ),
        negative=(
            *search_examples.parse_texts(negative),
            *search_examples.parse_object_ids(unlike),
        ),
        kind=None if kind == "any" else kind,
        limit=limit,
        min_score=min_score,
        conditions=filter_syntax.parse_conditions(filters or ()),
        group_size=None if group_by is None else group_size,
        max_overlap=max_overlap,
        collapse=collapse,
        diversity=diversity,
        strategy=strategy,
        hybrid=hybrid,
        cursor=cursor,
    )
    output = run_search.SearchOutput(as_json, sheet)
    run_search.run_search(query, load(), output, vector)
