"""Looks for near-duplicates with its progress on the screen, and shows the groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import typer
from PIL import Image

from pipeline.cli.console import err, print_note
from pipeline.cli.duplicates_output import Form, print_groups
from pipeline.cli.progress_bars import show_progress
from pipeline.drawing.duplicates_sheet import MAX_ROWS, Row, draw_groups, most_drawn
from pipeline.drawing.search_sheet import check_sheet_path, save_sheet
from pipeline.messages import quantify
from pipeline.progress import Progress
from pipeline.search.alike import LEAST_BLIND, LEAST_SIMILARITY
from pipeline.search.kept_pictures import PictureSource, read_pictures
from pipeline.search.near_duplicates import AlikeGroup, NearDuplicates
from pipeline.search.query_models import choose_embedder
from pipeline.settings import Settings
from pipeline.transfer.source_snapshot import hold_source
from schemas.errors import UsageError
from schemas.images import Failure
from schemas.payload import Kind
from schemas.search import Condition
from workers.protocols import VectorIndex

_REPORTS = 100  # of a run


@dataclass(frozen=True, slots=True)
class DuplicatesRequest:
    """What is looked for; without `similarity`, what was measured for the kind."""

    kind: Kind
    conditions: tuple[Condition, ...]
    similarity: float | None
    limit: int | None


def choose_form(*, as_json: bool, as_csv: bool) -> Form:
    """How the groups are printed. Raises UsageError for two ways."""
    if as_json and as_csv:
        raise UsageError("expected --json or --csv, got both")
    return "json" if as_json else "csv" if as_csv else "table"


def run_duplicates(
    request: DuplicatesRequest, settings: Settings, form: Form, sheet: Path | None
) -> None:
    """Find the groups, print them, and draw them. Raises ObjseekError."""
    if sheet is not None:
        check_sheet_path(sheet)
    with show_progress(err()) as progress, hold_source(settings, progress) as source:
        groups = find_groups(request, source.index, settings, progress)
        drawn = None if sheet is None else _draw(groups, request, source.index, settings)
    print_groups(groups, form)
    extra = sum(len(group.others) for group in groups)
    noun = quantify(extra, request.kind)
    print_note(f"{quantify(len(groups), 'group')}, {noun} beside those that would be kept")
    if sheet is not None and drawn is not None:
        save_sheet(drawn, sheet)
        print_note(f"sheet: {sheet}")


def find_groups(
    request: DuplicatesRequest, index: VectorIndex, settings: Settings, progress: Progress
) -> list[AlikeGroup]:
    """The groups with the most members first, at most as many as were asked for."""
    least, least_blind = LEAST_SIMILARITY[request.kind], LEAST_BLIND[request.kind]
    if request.similarity is not None:
        least = least_blind = request.similarity
    conditions = (*request.conditions, *_of_one_embedder(index, settings))
    search = NearDuplicates(index, request.kind, conditions, least, least_blind)
    noun, reported = f"{request.kind}s", 0

    def report(compared: int, total: int) -> None:
        nonlocal reported
        if compared >= reported:
            progress.note(f"{compared:,} of {total:,} {noun} compared")
            reported = compared + max(1, total // _REPORTS)

    found = sorted(search.find(report), key=lambda group: (-len(group), group.kept.uri))
    return found[: request.limit]


def _of_one_embedder(index: VectorIndex, settings: Settings) -> tuple[Condition, ...]:
    """The condition that holds for vectors that can be compared; none where all can be."""
    info = index.info()
    if len(info.embedders) < 2:
        return ()
    name = choose_embedder(None, info, settings)
    return (Condition(field="embedder", op="=", value=name),)


def _draw(
    groups: list[AlikeGroup], request: DuplicatesRequest, index: VectorIndex, settings: Settings
) -> Image.Image:
    rows, unread = [], 0
    source = PictureSource.of_index(index, settings)
    for group in groups[:MAX_ROWS]:
        first = group.points[: most_drawn(group)]
        stored = index.stored([UUID(point.object_id) for point in first])
        payloads = [
            (point.object_id, stored[UUID(point.object_id)].parse_payload())
            for point in first
            if UUID(point.object_id) in stored
        ]
        pictures = list(read_pictures(payloads, source))
        unread += sum(isinstance(picture, Failure) for picture in pictures)
        rows.append(Row(group, [payload for _, payload in payloads], pictures))
    if unread:
        typer.echo(f"tiles without their image: {unread}", err=True)
    return draw_groups(rows, len(groups), request.kind, settings.index.location)
