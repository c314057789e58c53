"""Exports the masks of an index as a file of tasks for Label Studio."""

from __future__ import annotations

import json
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from pipeline.formats.label_studio import write_config, write_region, write_task
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.export_file import check_target, summarize
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.image_table import ImageTable
from pipeline.transfer.object_stream import ObjectStream
from pipeline.transfer.source_snapshot import hold_source
from workers.durable_files import write_output

_CONFIG = ".label_config.xml"
_WHAT = "the file for Label Studio"


def export_label_studio(
    settings: Settings,
    target: Path,
    progress: Progress | None = None,
    *,
    replacing: bool = False,
    images: str | None = None,
) -> ExportSummary:
    """Write a task for each image, with its objects' masks as a prediction, and the interface.

    That is beside the file, `tasks.label_config.xml` for `tasks.json`. What is left out: see
    `ObjectStream`. Objects are put together by image on disk, in a temporary folder. Files below
    the folder `images`, which Label Studio's local storage has for its root, are named by the rest
    of their path. Raises UsageError where nothing can be written, or unless `replacing` a file is
    there, and what `hold_source` raises.
    """
    progress = progress or Progress()
    config = target.with_suffix(_CONFIG)
    for path in (target, config):
        check_target(path, _WHAT, replacing=replacing)
    with hold_source(settings, progress) as source, ImageTable.temporary() as table:
        stream = ObjectStream(source.index, progress)
        labels = _fill(table, stream)
        with (
            write_output(target, _WHAT) as file,
            TextIOWrapper(file, encoding="utf-8") as text,
        ):
            count = _write_tasks(table, text, images)
    with write_output(config, _WHAT) as file:
        file.write(write_config(sorted(labels)).encode())
    return summarize(stream, count, target, config)


def _fill(table: ImageTable, stream: ObjectStream) -> set[str]:
    """The labels that there are."""
    for image in stream.images():
        table.add(image)
    labels = set()
    for found in stream.objects():
        labels.add(found.label)
        table.add(found.image, write_region(found))
    return labels


def _write_tasks(table: ImageTable, file: TextIO, images: str | None) -> int:
    """How many images there are."""
    before, count = "[\n", 0
    for image, regions in table.images():
        file.write(before + json.dumps(write_task(image.uri, regions, images)))
        before, count = ",\n", count + 1
    file.write("\n]\n" if count else "[]\n")
    return count
