"""Writes the masks of an index as labels of YOLO's segmentation format, in a zip file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.progress import Progress
from pipeline.selection.objects import ChosenObject
from pipeline.selection.yolo import YoloLabels
from pipeline.selection.zip_stream import zip_entries
from pipeline.settings import Settings
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.source_snapshot import hold_source
from schemas.errors import UsageError
from schemas.search import Condition
from workers.durable_files import check_output_file, replace_file
from workers.protocols import VectorIndex

_NOTE_EVERY = 10_000
_OBJECTS = Condition(field="kind", op="=", value="object")


def export_yolo(
    settings: Settings, target: Path, progress: Progress | None = None, *, replacing: bool = True
) -> ExportSummary:
    """Write every mask as a polygon; its class is its surest label. See `YoloLabels`.

    Of what is in a video the frame that shows it best is its image. Some hundred bytes of memory an
    object. Objects without a sound mask are left out. Raises UsageError where nothing can be
    written, or unless `replacing` a file is there, and what `hold_source` raises.
    """
    progress = progress or Progress()
    check_output_file(target, "the zip file")
    if target.exists() and not replacing:
        raise UsageError(
            f"expected a new file to write to, {target} is there: --force writes over it"
        )
    with hold_source(settings, progress) as source, replace_file(target) as file:
        labels = YoloLabels(_list_objects(source.index, progress))
        for piece in zip_entries(labels.entries()):
            file.write(piece)
    return ExportSummary(
        objects=labels.objects,
        images=labels.images,
        files=1,
        size_bytes=target.stat().st_size,
        queued=0,
        broken=labels.left_out,
    )


def _list_objects(index: VectorIndex, progress: Progress) -> Iterator[ChosenObject]:
    for number, point in enumerate(index.scroll([_OBJECTS]), start=1):
        yield ChosenObject(point.id, point.parse_payload())
        if number % _NOTE_EVERY == 0:
            progress.note(f"{number:,} objects traced")
