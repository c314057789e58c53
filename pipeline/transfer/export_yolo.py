"""Exports the masks of an index as a dataset of YOLO's, in a folder."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pipeline.formats import yolo
from pipeline.formats.exported_object import ExportedImage, ExportedObject
from pipeline.formats.image_files import IMAGE_HEADER, IMAGE_LIST, link_image, write_image_row
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_storage import files_of, new_dataset
from pipeline.transfer.export_file import summarize
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.object_stream import ObjectStream
from pipeline.transfer.source_snapshot import hold_source
from schemas.errors import UsageError
from workers.batching import batched

MARK = "objseek-yolo.json"
"""Tells a folder of this export from a dataset that is somebody's own."""
_OBJECTS_AT_ONCE = 10_000


def export_yolo(
    settings: Settings, target: str, progress: Progress | None = None, *, replacing: bool = False
) -> ExportSummary:
    """Write `labels/` with a text for each image that has objects, and data.yaml, to a folder.

    `images/` has links to those images that are files of this machine; images.csv lists all, with
    their uris. What is left out: see `ObjectStream`. A name is kept for each image, and nothing
    else. `replacing`: an export to YOLO that is there gives way to this one. Raises UsageError
    where `target` holds something else, and what `hold_source` raises.
    """
    progress = progress or Progress()
    if target.startswith("s3://"):
        raise UsageError(f"expected a folder for yolo, got {target}")
    with (
        hold_source(settings, progress) as source,
        new_dataset(target, settings.store, progress, replacing=replacing, mark=MARK) as folder,
    ):
        stream = ObjectStream(source.index, progress)
        images = _Dataset(stream, folder).write()
        written = [folder / name for name in files_of(folder)]
        return summarize(stream, images, *written)


class _Dataset:
    def __init__(self, stream: ObjectStream, folder: Path) -> None:
        self._stream, self._folder = stream, folder
        self._names = yolo.YoloNames()

    def write(self) -> int:
        """How many images there are."""
        (self._folder / yolo.IMAGES).mkdir()
        (self._folder / yolo.LABELS).mkdir()
        images = 0
        with (self._folder / IMAGE_LIST).open("w", encoding="utf-8") as listed:
            listed.write(IMAGE_HEADER)
            for image in self._stream.images():
                listed.write(self._add_image(image))
                images += 1
            for batch in batched(self._stream.objects(), _OBJECTS_AT_ONCE):
                for found in batch:
                    if not self._names.knows(found.image):
                        listed.write(self._add_image(found.image))
                        images += 1
                self._write_lines(batch)
        data = yolo.write_data(self._names.classes)
        (self._folder / yolo.DATA).write_text(data, encoding="utf-8")
        (self._folder / MARK).write_text("{}\n")
        return images

    def _add_image(self, image: ExportedImage) -> str:
        """Link an image that is a file here; its line of the list."""
        file = self._names.name_image(image)
        link_image(image, self._folder / yolo.IMAGES / file)
        return write_image_row(file, image)

    def _write_lines(self, objects: list[ExportedObject]) -> None:
        """Append the lines of objects to the labels of their images."""
        lines: dict[str, list[str]] = defaultdict(list)
        for found in objects:
            number = self._names.number_class(found.label)
            lines[self._names.name_labels(found.image)].append(yolo.write_label_line(found, number))
        for name, of_image in lines.items():
            with (self._folder / yolo.LABELS / name).open("a", encoding="utf-8") as file:
                file.writelines(of_image)
