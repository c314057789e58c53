"""The route that writes chosen objects for other programs."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from pipeline.formats.exported_object import ExportedObject
from pipeline.formats.object_rows import COLUMNS, write_cells, write_object_row
from pipeline.formats.yolo import list_yolo_files
from pipeline.search.searcher import Searcher
from pipeline.selection.coco_document import CocoDocument
from pipeline.selection.crops import UNREADABLE, crop_objects, describe_failure, group_by_image
from pipeline.selection.objects import ChosenObject
from pipeline.selection.zip_stream import ZipStream, zip_entries
from pipeline.service.dependencies import ERRORS, Service, ServiceDep
from pipeline.service.indexed_points import no_object
from schemas.export_api import ExportFormat, ExportRequest

router = APIRouter(prefix="/v1", tags=["objects"], responses=ERRORS)
_FILES: dict[ExportFormat, tuple[str, str]] = {
    "coco": ("objects.json", "application/json"),
    "yolo": ("objects-yolo.zip", "application/zip"),
    "csv": ("objects.csv", "text/csv; charset=utf-8"),
    "crops": ("crops.zip", "application/zip"),
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            kind.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for _, kind in _FILES.values()
        },
    }
}


@router.post("/export", response_class=StreamingResponse, responses=_FILE)
async def export_objects(request: ExportRequest, service: ServiceDep) -> StreamingResponse:
    """Write up to 1,000 objects as COCO, YOLO polygons, CSV, or a zip of crops.

    `Objseek-Left-Out` says how many have no mask that the format could hold. Objects whose image
    cannot be read any more stand in `failures.txt` of the zip of crops.
    """
    chosen = await service.queue.run(lambda searcher: _find(request.object_ids, searcher))
    name, kind = _FILES[request.format]
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    pieces: AsyncIterator[bytes]
    if request.format == "crops":
        pieces = _stream_crops(chosen, service)
    else:
        made, left_out = await service.queue.draw(lambda: _write(chosen, request.format))
        headers["Objseek-Left-Out"] = str(left_out)
        pieces = _stream(made)
    return StreamingResponse(pieces, media_type=kind, headers=headers)


def _find(ids: Sequence[uuid.UUID], searcher: Searcher) -> list[ChosenObject]:
    """The objects, in the order of their ids. Raises ProblemError for one that is not there."""
    points = searcher.index.stored(ids)
    for identity in ids:
        if identity not in points:
            raise no_object(identity)
    return [
        ChosenObject(str(identity), points[identity].parse_payload())
        for identity in dict.fromkeys(ids)
    ]


def _write(chosen: Sequence[ChosenObject], form: ExportFormat) -> tuple[list[bytes], int]:
    """The pieces of a file, and how many objects are not in it."""
    if form == "csv":
        rows = (write_object_row(each.object_id, each.payload) for each in chosen)
        return [write_cells(*COLUMNS).encode(), *(row.encode() for row in rows)], 0
    if form == "coco":
        sound = [each for each in chosen if each.payload.sound_mask() is not None]
        document = json.dumps(CocoDocument(sound).to_dict()).encode()
        return [document], len(chosen) - len(sound)
    found = [
        ExportedObject.of(each.object_id, each.payload)
        for each in chosen
        if each.payload.sound_mask() is not None and each.payload.t_key is None
    ]
    files = ((name, text.encode()) for name, text in list_yolo_files(found))
    return list(zip_entries(files)), len(chosen) - len(found)


async def _stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _stream_crops(chosen: Sequence[ChosenObject], service: Service) -> AsyncIterator[bytes]:
    """An image at a time, as pictures for others are drawn in between."""
    stream, failures = ZipStream(), []
    for group in group_by_image(chosen):
        try:
            entries = await service.queue.draw(
                lambda group=group: crop_objects(group, service.settings)  # type: ignore[misc]
            )
        except UNREADABLE as exc:
            failures.append(describe_failure(group, exc))
            continue
        for entry in entries:
            yield stream.add(entry)
    if failures:
        yield stream.add(("failures.txt", "".join(failures).encode()))
    yield stream.finish()
