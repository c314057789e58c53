"""Exports the masks of an index as a dataset of FiftyOne's, in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.formats import fiftyone
from pipeline.formats.exported_object import ExportedImage
from pipeline.formats.image_files import (
    IMAGE_HEADER,
    IMAGE_LIST,
    ImageNames,
    link_image,
    write_image_row,
)
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_storage import files_of, new_dataset
from pipeline.transfer.export_file import summarize
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.image_table import ImageTable
from pipeline.transfer.object_stream import ObjectStream
from pipeline.transfer.source_snapshot import hold_source
from schemas.errors import UsageError

MARK = "objseek-fiftyone.json"
"""Tells a folder of this export from a dataset that is somebody's own."""


def export_fiftyone(
    settings: Settings, target: str, progress: Progress | None = None, *, replacing: bool = False
) -> ExportSummary:
    """Write metadata.json, and samples.json with the detections of each image, to a folder.

    `data/` has links to those images that are files of this machine; images.csv lists all, with
    their uris. What is left out: see `ObjectStream`. Objects are put together by image on disk;
    a name is kept for each image. `replacing`: an export to FiftyOne that is there gives way to
    this one. Raises UsageError where `target` holds something else, and what `hold_source` raises.
    """
    progress = progress or Progress()
    if target.startswith("s3://"):
        raise UsageError(f"expected a folder for fiftyone, got {target}")
    with (
        hold_source(settings, progress) as source,
        new_dataset(target, settings.store, progress, replacing=replacing, mark=MARK) as folder,
        ImageTable.temporary() as table,
    ):
        stream = ObjectStream(source.index, progress)
        tags, labels = _fill(table, stream)
        images = _write_samples(table, tags, folder)
        dataset = json.dumps(fiftyone.write_dataset(sorted(labels)))
        (folder / fiftyone.METADATA).write_text(dataset, encoding="utf-8")
        (folder / MARK).write_text("{}\n")
        return summarize(stream, images, *(folder / name for name in files_of(folder)))


_ImageTags = dict[tuple[str, str], tuple[str, ...]]
"""Of those images that have any, by id and generation."""


def _fill(table: ImageTable, stream: ObjectStream) -> tuple[_ImageTags, set[str]]:
    """Put everything into the table; tags of images, and the labels that there are."""
    tags: _ImageTags = {}
    labels = set()
    for image, payload in stream.images_with_payloads():
        table.add(image)
        if payload.tags:
            tags[image.image_id, image.generation] = payload.tags
    for found, payload in stream.objects_with_payloads():
        labels.add(found.label)
        table.add(found.image, fiftyone.write_detection(found, payload))
    return tags, labels


def _write_samples(table: ImageTable, tags: _ImageTags, folder: Path) -> int:
    """How many images there are."""
    (folder / fiftyone.DATA).mkdir()
    names, before, count = ImageNames(), "\n", 0
    with (
        (folder / fiftyone.SAMPLES).open("w", encoding="utf-8") as samples,
        (folder / IMAGE_LIST).open("w", encoding="utf-8") as listed,
    ):
        samples.write('{"samples": [')
        listed.write(IMAGE_HEADER)
        for image, detections in table.images():
            file = names.name_image(image)
            link_image(image, folder / fiftyone.DATA / file)
            listed.write(write_image_row(file, image))
            samples.write(before + json.dumps(_describe(image, file, detections, tags)))
            before, count = ",\n", count + 1
        samples.write("\n]}\n")
    return count


def _describe(image: ExportedImage, file: str, detections: Any, tags: _ImageTags) -> dict[str, Any]:
    of_image = tags.get((image.image_id, image.generation), ())
    return fiftyone.write_sample(image, f"{fiftyone.DATA}/{file}", detections, of_image)
