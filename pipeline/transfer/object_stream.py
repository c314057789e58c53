"""Reads of an index what files of other programs can have: images, and objects with their masks."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.formats.exported_object import ExportedImage, ExportedObject
from pipeline.progress import Progress
from schemas.ids import IMAGE_ORDINAL
from schemas.payload import PointPayload
from schemas.points import Point
from schemas.search import Condition
from workers.protocols import VectorIndex

_NOTE_EVERY = 10_000


class ObjectStream:
    """Images and objects in no particular order, each read anew; what is left out is counted.

    Left out are objects whose mask does not fit its image (`broken`), what is in videos, whose
    frames are no files (`of_videos` objects), and objects that have a box alone.
    """

    def __init__(self, index: VectorIndex, progress: Progress) -> None:
        self._index, self._progress = index, progress
        self.count = self.broken = self.of_videos = 0

    def images(self) -> Iterator[ExportedImage]:
        """Those that have a point of their own, with objects or without."""
        return (image for image, _ in self.images_with_payloads())

    def images_with_payloads(self) -> Iterator[tuple[ExportedImage, PointPayload]]:
        """The same, with all that the index knows of each."""
        for _, payload in self._scroll("image"):
            if payload.ordinal == IMAGE_ORDINAL and payload.t_key is None:
                yield ExportedImage.of(payload), payload

    def objects(self) -> Iterator[ExportedObject]:
        """Those that can be written, of which there are `count` so far."""
        return (found for found, _ in self.objects_with_payloads())

    def objects_with_payloads(self) -> Iterator[tuple[ExportedObject, PointPayload]]:
        """The same, with all that the index knows of each."""
        for point, payload in self._scroll("object"):
            if payload.t_key is not None:
                self.of_videos += 1
            elif payload.rle is not None:
                try:
                    found = ExportedObject.of(point.id, payload)
                except ValueError:
                    self.broken += 1
                    continue
                self.count += 1
                yield found, payload

    def _scroll(self, kind: str) -> Iterator[tuple[Point, PointPayload]]:
        points = self._index.scroll([Condition(field="kind", op="=", value=kind)])
        for number, point in enumerate(points, start=1):
            yield point, point.parse_payload()
            if number % _NOTE_EVERY == 0:
                self._progress.note(f"{number:,} {kind}s written")
