"""Draws the first hits of the queries that did worst."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from PIL.Image import Image

from pipeline.cli.reports.search_figures import describe_found, describe_rank
from pipeline.drawing.contact_sheet import draw_tile, file_name
from pipeline.drawing.report.contents import Gallery, Picture
from pipeline.drawing.report.pictures import MOST_PICTURES, encode_picture
from pipeline.evaluation.search.query_result import JudgedHit, QueryResult
from pipeline.evaluation.search.spread import list_worst
from pipeline.search.kept_pictures import PictureSource, read_pictures
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings

_HITS = 3


def draw_worst(
    results: Sequence[QueryResult], searcher: Searcher, settings: Settings
) -> list[Gallery]:
    """A gallery of the first hits of each of the worst queries for what is there."""
    source = PictureSource.of_index(searcher.index, settings)
    return [
        Gallery(
            result.name,
            _draw(result.hits[:_HITS], searcher, source),
            f"{describe_found(result)} found, the first right hit: {describe_rank(result)}",
        )
        for result in list_worst(results, MOST_PICTURES // _HITS)
        if result.hits
    ]


def _draw(hits: Sequence[JudgedHit], searcher: Searcher, source: PictureSource) -> list[Picture]:
    stored = searcher.index.stored([UUID(hit.object_id) for hit in hits])
    shown = [(hit, stored[UUID(hit.object_id)].parse_payload()) for hit in hits]
    pictures = read_pictures([(hit.object_id, payload) for hit, payload in shown], source)
    return [
        _encode(hit, draw_tile(payload, picture))
        for (hit, payload), picture in zip(shown, pictures, strict=True)
    ]


def _encode(hit: JudgedHit, tile: Image) -> Picture:
    name = hit.shows or "something else"
    likely = "" if hit.probability is None else f", called {hit.probability:.0%} likely"
    alt = f"{name} in {file_name(hit.uri)}"
    return encode_picture(tile, name, alt, [f"{hit.verdict}{likely}", hit.uri])
