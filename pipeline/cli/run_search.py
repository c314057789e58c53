"""Runs a query, here or by the service that has the index open, and shows the hits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import typer

from pipeline.cli.console import print_note
from pipeline.cli.label_hint import print_label_hint
from pipeline.cli.query_vectors import require_length
from pipeline.cli.search_output import print_page
from pipeline.cli.service_fallback import run_or_delegate
from pipeline.drawing.search_sheet import (
    Sheet,
    check_sheet_path,
    draw_sheet,
    find_subject,
    save_sheet,
)
from pipeline.search.kept_pictures import PictureSource
from pipeline.search.searcher import Searcher
from pipeline.service.client import Client
from pipeline.service.delegation import build_request
from pipeline.service.served_images import find_served_subject, read_served_images
from pipeline.settings import Settings
from schemas.search import SearchQuery

_MOST_LABELS = 1000
"""That are looked through for those that come near."""


@dataclass(frozen=True, slots=True)
class SearchOutput:
    """How hits are shown: as JSON, or as a table; and on a contact sheet."""

    as_json: bool
    sheet: Path | None


def run_search(
    query: SearchQuery, settings: Settings, output: SearchOutput, vector_file: Path | None = None
) -> None:
    """Search, print the hits, and draw them. Raises ObjseekError.

    `vector_file` is where the query's vector comes from.
    """
    sheet = output.sheet
    if sheet is not None:
        check_sheet_path(sheet)
    run_or_delegate(
        settings.index.location,
        lambda: _search_here(query, settings, output, vector_file),
        lambda service: _search_by_service(service, query, settings, output, vector_file),
    )


def _search_here(
    query: SearchQuery, settings: Settings, output: SearchOutput, vector_file: Path | None
) -> None:
    with Searcher.open(settings) as searcher:
        require_length(query, vector_file, searcher.index.dim, searcher.index.named_dims())
        searcher.prepare(query)
        start = time.perf_counter()
        page = searcher.search(query)
        seconds = time.perf_counter() - start
        print_page(page, searcher.embedder_name, seconds, as_json=output.as_json)
        if not page.hits:
            print_label_hint(query.conditions, lambda: _list_labels(searcher))
        if output.sheet is not None:
            subject = find_subject(query, searcher, page, settings)
            source = PictureSource.of_index(searcher.index, settings)
            drawn = draw_sheet(query, page.hits, settings, searcher.embedder_name, source, subject)
            _save_sheet(drawn, output.sheet)


def _search_by_service(
    service: Client,
    query: SearchQuery,
    settings: Settings,
    output: SearchOutput,
    vector_file: Path | None,
) -> None:
    if settings.embedder.calibration is not None:
        print_note("note: the service answers, with the calibration it was started with")
    stats = service.stats()
    embedder = stats.embedder
    require_length(query, vector_file, stats.dim, stats.vectors)
    request = build_request(service, query, settings)
    start = time.perf_counter()
    answer = service.search(request)
    seconds = time.perf_counter() - start
    print_page(answer, f"{embedder}, by the service", seconds, as_json=output.as_json)
    if not answer.hits:
        print_label_hint(query.conditions, lambda: _list_labels_of(service))
    if output.sheet is not None:
        subject = find_served_subject(query, answer, service, settings)
        source = PictureSource(
            service.thumbnails, lambda payloads: read_served_images(payloads, service)
        )
        drawn = draw_sheet(query, answer.hits, settings, embedder, source, subject)
        _save_sheet(drawn, output.sheet)


def _list_labels(searcher: Searcher) -> list[str]:
    found = searcher.index.facet("labels", (), _MOST_LABELS, searcher.label_score)
    return [label.value for label in found]


def _list_labels_of(service: Client) -> list[str]:
    return [label.value for label in service.facets(limit=_MOST_LABELS).labels]


def _save_sheet(drawn: Sheet, path: Path) -> None:
    save_sheet(drawn.picture, path)
    print_note(f"sheet: {path}")
    if drawn.unread:
        count, why = len(drawn.unread), drawn.unread[0].message
        typer.echo(f"tiles without their image: {count}; the first: {why}", err=True)
