"""`objseek search`: objects for a text, an image, a region of it, or another object."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from pipeline.commands.options import (
    Anonymous,
    Config,
    EndpointUrl,
    Index,
    Profile,
    RequesterPays,
)
from pipeline.console import counted, user_errors
from pipeline.rows import print_rows

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from schemas.search import SearchHit, SearchQuery

_HELP = """Search for objects by a text, an image, a region of it, or another object.

Several conditions may follow one --filter; all of them have to hold.

Examples:

    objseek search "a red apple" --sheet apples.png

    objseek search --image kitchen.jpg --box 40,60,220,310 --group-by image

    objseek search "a cup" --not "a glass" --filter 'uri^=s3://photos/2026/' 'area_frac>0.05' --json
"""
_COLUMNS = ("rank", "score", "box", "size px", "area", "image", "object id")


class _SearchCommand(TyperCommand):
    """Takes several conditions after one `--filter`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _spread_filters(args))


def _spread_filters(args: Sequence[str]) -> list[str]:
    from pipeline.conditions import looks_like_condition

    spread: list[str] = []
    in_filter = False
    for position, arg in enumerate(args):
        if arg.startswith("--filter=") or (position and args[position - 1] == "--filter"):
            in_filter = True
        elif in_filter and looks_like_condition(arg):
            spread.append("--filter")
        else:
            in_filter = False
        spread.append(arg)
    return spread


def register(app: typer.Typer) -> None:
    """Add `search` to the command line."""
    app.command("search", cls=_SearchCommand, help=_HELP)(search)


@user_errors
def search(
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    image: Annotated[
        str | None, typer.Option(help="Search with an image: a file or s3://bucket/key.")
    ] = None,
    box: Annotated[
        str | None, typer.Option(help="Only this region of --image: x0,y0,x1,y1 in pixels.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="Search with an indexed object, by its id.")
    ] = None,
    negative: Annotated[
        str | None, typer.Option("--not", help="What the hits should not be like, in words.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most this many hits.")] = 10,
    min_score: Annotated[
        float | None, typer.Option(help="Only hits of at least this cosine similarity.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="Only points that meet a condition: a field, one of = != < <= > >= ^= (begins "
            "with), a value. May be given several times.",
        ),
    ] = None,
    kind: Annotated[
        Literal["object", "image", "any"], typer.Option(help="Objects, whole images, or both.")
    ] = "object",
    group_by: Annotated[
        Literal["image"] | None, typer.Option(help="Only the best hit of each image.")
    ] = None,
    max_overlap: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of hits in one image that share more than this of the smaller mask, only the "
            "best; 1 shows a thing, its parts and its duplicates.",
        ),
    ] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet of the hits to this file.")
    ] = None,
    index: Index = None,
    embedder: Annotated[
        str | None, typer.Option(help="The embedder; default: the one that made the index.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"] | None, typer.Option(help="Where the embedder runs.")
    ] = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    anonymous: Anonymous = None,
    requester_pays: RequesterPays = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.conditions import parse_conditions
    from pipeline.settings import load_settings
    from schemas.search import SearchQuery

    query = SearchQuery(
        text=text,
        image_path=image,
        box_xyxy=None if box is None else parse_box(box),
        like=like,
        negative_text=negative,
        kind=None if kind == "any" else kind,
        limit=limit,
        min_score=min_score,
        conditions=parse_conditions(filters or ()),
        group_by_image=group_by is not None,
        max_overlap=max_overlap,
    )
    store = {
        "endpoint_url": endpoint_url,
        "profile": profile,
        "anonymous": anonymous,
        "requester_pays": requester_pays,
    }
    overrides = {
        "index": {"location": index},
        "embedder": {"name": embedder, "device": device},
        "store": store,
    }
    _run(query, load_settings(config, overrides), sheet, as_json)


def _run(query: SearchQuery, settings: Settings, sheet: Path | None, as_json: bool) -> None:
    from pipeline.search import Searcher
    from pipeline.search_sheet import check_sheet_path, save_sheet, sheet_of

    if sheet is not None:
        check_sheet_path(sheet)
    with Searcher.open(settings) as searcher:
        searcher.prepare(query)
        start = time.perf_counter()
        hits = searcher.search(query)
        seconds = time.perf_counter() - start
        _print_hits(hits, searcher.embedder_name, seconds, as_json)
        if sheet is not None:
            drawn = sheet_of(searcher, query, hits, settings)
            save_sheet(drawn.picture, sheet)
            typer.echo(f"sheet: {sheet}", err=True)
            if drawn.unread:
                count, why = len(drawn.unread), drawn.unread[0].message
                typer.echo(f"tiles without their image: {count}; the first: {why}", err=True)


def parse_box(text: str) -> tuple[int, int, int, int]:
    """`x0,y0,x1,y1` in whole pixels. Raises UsageError."""
    from schemas.errors import UsageError

    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise UsageError(f"expected a box as x0,y0,x1,y1 in whole pixels, got {text!r}") from exc
    return x0, y0, x1, y1


def _print_hits(hits: Sequence[SearchHit], embedder: str, seconds: float, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([hit.model_dump(mode="json") for hit in hits], indent=2))
        return
    if hits:
        rows = [_cells(rank, hit) for rank, hit in enumerate(hits, 1)]
        print_rows(_COLUMNS, rows, stacked=2, right=len(_COLUMNS) - 2)
    many = counted(len(hits), "hit") if hits else "nothing found"
    typer.echo(f"{many} in {seconds * 1000:.0f} ms ({embedder})", err=True)


def _cells(rank: int, hit: SearchHit) -> tuple[str, ...]:
    payload = hit.payload
    x0, y0, x1, y1 = payload.bbox
    return (
        str(rank),
        f"{hit.score:.3f}",
        f"{x0},{y0},{x1},{y1}",
        f"{x1 - x0} x {y1 - y0}",
        f"{payload.area_frac:.1%}",
        payload.uri,
        hit.object_id,
    )
