"""`objseek search`: objects for a text, an image, a region of it, or another object."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from pipeline.cli.console import user_errors
from pipeline.cli.options import Anonymous, Config, EndpointUrl, Index, Profile, RequesterPays
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

if TYPE_CHECKING:
    from pipeline.search.searcher import Searcher
    from pipeline.service.client import Client
    from pipeline.settings import Settings
    from schemas.api import SearchAnswer
    from schemas.images import UInt8Image
    from schemas.search import FileExample, SearchHit, SearchPage, SearchQuery, TextExample

_HELP = """Search for objects by texts, an image, a region of it, other objects, or all of these.

Several conditions may follow one --filter; all of them have to hold.

Examples:

    objseek search "a red apple" --sheet apples.png

    objseek search --image kitchen.jpg --box 40,60,220,310 --group-by image

    objseek search --image kitchen.jpg --point 130,180 "but in red^0.5" --diversity 0.5

    objseek search "a cup" --not "a glass" --filter 'uri^=s3://photos/2026/' 'labels=mug' --json
"""
_COLUMNS = (
    "rank", "score", "relevance", "box", "size px", "area", "labels", "image", "object id",
)  # fmt: skip
_LABELS_SHOWN = 2
_WEIGHED = re.compile(r"(.+)\^(\d+(?:\.\d+)?)", re.DOTALL)


class _SearchCommand(TyperCommand):
    """Takes several conditions after one `--filter`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _spread_filters(args))


def _spread_filters(args: Sequence[str]) -> list[str]:
    from pipeline.search.filter_syntax import looks_like_condition

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
        str | None, typer.Option(help="Only this region of --image: x0,y0,x1,y1 in pixels.")
    ] = None,
    point: Annotated[
        str | None, typer.Option(help="Only the object at this point of --image: x,y in pixels.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="Search with an indexed object, by its id (again for more)."),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option("--not", help="What the hits should not be like, in words (again for more)."),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(help="An indexed object that the hits should not be like (again for more)."),
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
        Literal["image"] | None, typer.Option(help="Only the best hits of each image.")
    ] = None,
    group_size: Annotated[
        int, typer.Option(help="With --group-by: hits of an image; --limit counts images then.")
    ] = 1,
    max_overlap: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of hits in one image that share more than this of the smaller mask, only the "
            "best; 1 shows a thing, its parts and its duplicates.",
        ),
    ] = 0.5,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="More than 0: hits that differ from each other.")
    ] = 0.0,
    strategy: Annotated[
        Literal["average_vector", "best_score"],
        typer.Option(help="Near the mean of what was given, or near any of it."),
    ] = "average_vector",
    hybrid: Annotated[
        bool,
        typer.Option("--hybrid/--dense", help="Whether labels and words of the uri count too."),
    ] = True,
    cursor: Annotated[
        str | None, typer.Option(help="The page behind the one that ended with this cursor.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet of the hits to this file.")
    ] = None,
    index: Index = None,
    embedder: Annotated[
        str | None, typer.Option(help="The embedder; default: the one that made the index.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"] | None, typer.Option(help="Where the models run.")
    ] = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    anonymous: Anonymous = None,
    requester_pays: RequesterPays = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.search.filter_syntax import parse_conditions
    from pipeline.settings import load_settings
    from schemas.search import ObjectExample, SearchQuery

    query = SearchQuery(
        positive=(
            *map(parse_text, texts or ()),
            *_pictures(image, box, point),
            *(ObjectExample(object_id=identity) for identity in like or ()),
        ),
        negative=(
            *map(parse_text, negative or ()),
            *(ObjectExample(object_id=identity) for identity in unlike or ()),
        ),
        kind=None if kind == "any" else kind,
        limit=limit,
        min_score=min_score,
        conditions=parse_conditions(filters or ()),
        group_size=None if group_by is None else group_size,
        max_overlap=max_overlap,
        diversity=diversity,
        strategy=strategy,
        hybrid=hybrid,
        cursor=cursor,
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
        "segmenter": {"device": device},
        "store": store,
    }
    _run(query, load_settings(config, overrides), sheet, as_json)


def _run(query: SearchQuery, settings: Settings, sheet: Path | None, as_json: bool) -> None:
    from pipeline.drawing.search_sheet import check_sheet_path
    from pipeline.search.searcher import Searcher
    from pipeline.service.delegation import find_service
    from schemas.errors import IndexBusyError

    if sheet is not None:
        check_sheet_path(sheet)
    try:
        searcher = Searcher.open(settings)
    except IndexBusyError:
        service = find_service(settings.index.location)
        if service is None:
            raise
        with service:
            _ask(service, query, settings, sheet, as_json)
        return
    with searcher:
        _search(searcher, query, settings, sheet, as_json)


def _search(
    searcher: Searcher, query: SearchQuery, settings: Settings, sheet: Path | None, as_json: bool
) -> None:
    from pipeline.drawing.search_sheet import find_subject

    searcher.prepare(query)
    start = time.perf_counter()
    page = searcher.search(query)
    seconds = time.perf_counter() - start
    _print_page(page, searcher.embedder_name, seconds, as_json)
    if sheet is not None:
        subject = find_subject(query, searcher, page, settings)
        _draw(query, page.hits, settings, searcher.embedder_name, sheet, subject)


def _ask(
    service: Client, query: SearchQuery, settings: Settings, sheet: Path | None, as_json: bool
) -> None:
    """Have the service search that has the index open."""
    from pipeline.service.delegation import build_request

    embedder = service.stats().embedder
    asked = build_request(service, query, settings)
    start = time.perf_counter()
    answer = service.search(asked)
    _print_page(answer, f"{embedder}, by the service", time.perf_counter() - start, as_json)
    if sheet is not None:
        _draw(query, answer.hits, settings, embedder, sheet, None)


def _draw(
    query: SearchQuery,
    hits: Sequence[SearchHit],
    settings: Settings,
    embedder: str,
    path: Path,
    subject: UInt8Image | None,
) -> None:
    from pipeline.drawing.search_sheet import draw_sheet, save_sheet

    drawn = draw_sheet(query, hits, settings, embedder, subject)
    save_sheet(drawn.picture, path)
    typer.echo(f"sheet: {path}", err=True)
    if drawn.unread:
        count, why = len(drawn.unread), drawn.unread[0].message
        typer.echo(f"tiles without their image: {count}; the first: {why}", err=True)


def parse_text(text: str) -> TextExample:
    """A text to search with; `^` and a number at its end are its weight. Raises UsageError."""
    from schemas.errors import UsageError
    from schemas.search import TextExample

    weighed = _WEIGHED.fullmatch(text)
    words, weight = (weighed[1], float(weighed[2])) if weighed else (text, 1.0)
    if not words.strip():
        raise UsageError(f"expected a text to search for, got a blank one in {text!r}")
    return TextExample(text=words, weight=weight)


def _pictures(image: str | None, box: str | None, point: str | None) -> list[FileExample]:
    from schemas.errors import UsageError
    from schemas.search import FileExample

    if image is None:
        if box is not None or point is not None:
            raise UsageError("expected an --image to go with --box or --point")
        return []
    return [
        FileExample(
            path=image,
            box_xyxy=None if box is None else parse_box(box),
            point_xy=None if point is None else parse_point(point),
        )
    ]


def parse_point(text: str) -> tuple[float, float]:
    """`x,y` in pixels. Raises UsageError."""
    from schemas.errors import UsageError

    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise UsageError(f"expected a point as x,y in pixels, got {text!r}") from exc
    return x, y


def parse_box(text: str) -> tuple[int, int, int, int]:
    """`x0,y0,x1,y1` in whole pixels. Raises UsageError."""
    from schemas.errors import UsageError

    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise UsageError(f"expected a box as x0,y0,x1,y1 in whole pixels, got {text!r}") from exc
    return x0, y0, x1, y1


def _print_page(
    page: SearchPage | SearchAnswer, embedder: str, seconds: float, as_json: bool
) -> None:
    if as_json:
        hits = [hit.model_dump(mode="json", exclude_none=True) for hit in page.hits]
        typer.echo(json.dumps(hits, indent=2))
    elif page.hits:
        rows = [_cells(rank, hit) for rank, hit in enumerate(page.hits, 1)]
        print_rows(_COLUMNS, rows, stacked=2, right=len(_COLUMNS) - 3)
    many = quantify(len(page.hits), "hit") if page.hits else "nothing found"
    how = f"{embedder}, with words" if page.hybrid else embedder
    typer.echo(f"{many} in {seconds * 1000:.0f} ms ({how})", err=True)
    if page.relevance == "weak":
        typer.echo("no hit is likely to show what was asked for", err=True)
    if page.cursor is not None:
        typer.echo(f"more: --cursor {page.cursor}", err=True)


def _cells(rank: int, hit: SearchHit) -> tuple[str, ...]:
    payload = hit.payload
    x0, y0, x1, y1 = payload.bbox
    return (
        str(rank),
        f"{hit.score:.3f}",
        hit.relevance or "-",
        f"{x0},{y0},{x1},{y1}",
        f"{x1 - x0} x {y1 - y0}",
        f"{payload.area_frac:.1%}",
        ", ".join((payload.labels or ())[:_LABELS_SHOWN]) or "-",
        payload.uri,
        hit.object_id,
    )
