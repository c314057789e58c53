"""Exports the objects of an index as a table of comma-separated values."""

from __future__ import annotations

from io import TextIOWrapper
from pathlib import Path

from pipeline.formats.object_rows import COLUMNS, write_cells, write_object_row
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.export_file import check_target, summarize
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.object_stream import ObjectStream
from pipeline.transfer.source_snapshot import hold_source
from workers.durable_files import write_output

_WHAT = "the table"


def export_csv(
    settings: Settings, target: Path, progress: Progress | None = None, *, replacing: bool = False
) -> ExportSummary:
    """Write a line for each object: its image, label, box and mask; see `write_object_row`.

    What is left out: see `ObjectStream`. Raises UsageError where nothing can be written, or unless
    `replacing` a file is there, and what `hold_source` raises.
    """
    progress = progress or Progress()
    check_target(target, _WHAT, replacing=replacing)
    with (
        hold_source(settings, progress) as source,
        write_output(target, _WHAT) as file,
        TextIOWrapper(file, encoding="utf-8", newline="") as text,
    ):
        stream, images = ObjectStream(source.index, progress), set()
        text.write(write_cells(*COLUMNS))
        for found, payload in stream.objects_with_payloads():
            images.add((found.image.image_id, found.image.generation))
            text.write(write_object_row(found.object_id, payload))
    return summarize(stream, len(images), target)
