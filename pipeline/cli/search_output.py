"""Prints the hits of a search, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

from pipeline.cli.console import out, print_note
from pipeline.cli.picture_output import describe_pictures
from pipeline.cli.tables import print_rows
from pipeline.messages import format_span, quantify
from pipeline.search.hit_order import count_likely, describe_relevance
from schemas.api import SearchAnswer
from schemas.payload import PointPayload
from schemas.search import SearchHit, SearchPage

_COLUMNS = (
    "rank", "score", "relevance", "alike", "time", "box", "size px", "area", "labels", "image",
    "object id",
)  # fmt: skip
_ALIKE, _TIME = _COLUMNS.index("alike"), _COLUMNS.index("time")
"""Only where hits are collapsed behind any, and where any hit is in a video."""
_MOST_LABELS = 2


def print_page(
    page: SearchPage | SearchAnswer, embedder: str, seconds: float, *, as_json: bool
) -> None:
    """Print the hits of a page to stdout, and to stderr how they were found and what follows."""
    if as_json:
        hits = [hit.model_dump(mode="json", exclude_none=True) for hit in page.hits]
        typer.echo(json.dumps(hits, indent=2))
    elif page.hits:
        _print_groups(page.hits)
    found = quantify(len(page.hits), "hit") if page.hits else "nothing found"
    likely = sum(hit.probability is not None for hit in page.hits[: count_likely(page.hits)])
    if likely:
        found = f"{found}, {likely} of them likely,"
    how = f"{embedder}, with words" if page.hybrid else embedder
    print_note(f"{found} in {seconds * 1000:.0f} ms ({how})")
    for line in describe_pictures(page):
        print_note(line)
    if page.relevance == "weak":
        print_note("no hit is likely to show what you searched for: these come nearest")
    if page.cursor is not None:
        print_note(f"more: --cursor {page.cursor}")


def _print_groups(hits: Sequence[SearchHit]) -> None:
    """One table; on a terminal the unlikely hits stand below a line of their own."""
    rows = [_cells(rank, hit) for rank, hit in enumerate(hits, 1)]
    columns: Sequence[str] = _COLUMNS
    without = {_TIME} if all(hit.payload.t_start is None for hit in hits) else set()
    if not any(hit.alike for hit in hits):
        without.add(_ALIKE)
    columns, *rows = (
        tuple(cell for place, cell in enumerate(row) if place not in without)
        for row in (columns, *rows)
    )
    likely = count_likely(hits)
    groups = [rows]
    if out().is_terminal and 0 < likely < len(rows):
        groups = [rows[:likely], rows[likely:]]
    for number, group in enumerate(groups):
        if number:
            out().print(f"\n{len(group)} unlikely", style="dim", highlight=False)
        print_rows(columns, group, stacked=2, right=len(columns) - 3)


def _describe_time(payload: PointPayload) -> str:
    if payload.t_start is None or payload.t_end is None:
        return "-"
    return format_span(payload.t_start, payload.t_end)


def _cells(rank: int, hit: SearchHit) -> tuple[str, ...]:
    payload = hit.payload
    x0, y0, x1, y1 = payload.bbox
    return (
        str(rank),
        f"{hit.score:.3f}",
        describe_relevance(hit) or "-",
        f"+{len(hit.alike)}" if hit.alike else "-",
        _describe_time(payload),
        f"{x0},{y0},{x1},{y1}",
        f"{x1 - x0} x {y1 - y0}",
        "" if payload.area_frac is None else f"{payload.area_frac:.1%}",
        ", ".join((payload.labels or ())[:_MOST_LABELS]) or "-",
        payload.uri,
        hit.object_id,
    )
