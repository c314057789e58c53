"""Writes the masks of an index as a COCO instances file, point by point."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.source_snapshot import hold_source
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage
from schemas.labels import UNLABELLED
from schemas.payload import PointPayload
from schemas.points import Point
from schemas.search import Condition
from workers.durable_files import check_output_file, replace_file
from workers.protocols import VectorIndex

_NOTE_EVERY = 10_000


def export_coco(
    settings: Settings, target: Path, progress: Progress | None = None
) -> ExportSummary:
    """Write every mask as an annotation; its category is its surest label.

    A number is kept for each image, and nothing else. Annotations have what COCO has no field for
    under our names: `object_id`, `score` (of the label), `predicted_iou`, `stability_score`; images
    `uri`, `version`, `generation`. Objects whose mask does not fit its image, at which other
    programs hang, or whose box does not, are left out. Raises UsageError where nothing can be
    written, and what `hold_source` raises.
    """
    progress = progress or Progress()
    check_output_file(target, "the COCO file")
    with (
        hold_source(settings, progress) as source,
        replace_file(target) as file,
        TextIOWrapper(file, encoding="utf-8") as text,
    ):
        instances = _Instances(source.index, text, progress)
        instances.write()
    return ExportSummary(
        objects=instances.annotations,
        images=len(instances.images),
        files=1,
        size_bytes=target.stat().st_size,
        queued=0,
        broken=instances.broken,
    )


class _Instances:
    def __init__(self, index: VectorIndex, file: TextIO, progress: Progress) -> None:
        self._index, self._file, self._progress = index, file, progress
        self.images: dict[str, int] = {}
        self.annotations = self.broken = 0
        self._categories = {UNLABELLED: 1}

    def write(self) -> None:
        info = {
            "description": "objects of an index of objseek",
            "version": metadata.version("objseek"),
            "date_created": datetime.now(UTC).isoformat(),
        }
        self._file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"images": [')
        self._write_points("image", self._image)
        self._file.write('\n],\n"annotations": [')
        self._write_points("object", self._annotation)
        categories = [
            CocoCategory(id=number, name=name).model_dump(exclude_unset=True)
            for name, number in self._categories.items()
        ]
        self._file.write(f'\n],\n"categories": {json.dumps(categories)}}}\n')

    def _write_points(
        self, kind: str, describe: Callable[[Point], CocoImage | CocoAnnotation | None]
    ) -> None:
        first = True
        for number, point in enumerate(self._points(kind), start=1):
            entry = describe(point)
            if entry is not None:
                fields = json.dumps(entry.model_dump(exclude_unset=True))
                self._file.write(("\n" if first else ",\n") + fields)
                first = False
            if number % _NOTE_EVERY == 0:
                self._progress.note(f"{number:,} {kind}s written")

    def _points(self, kind: str) -> Iterator[Point]:
        return self._index.scroll([Condition(field="kind", op="=", value=kind)])

    def _image(self, point: Point) -> CocoImage:
        payload = point.parse_payload()
        # Images of one index in several generations have masks of each.
        name = f"{payload.image_id} {payload.generation}"
        number = self.images.setdefault(name, len(self.images) + 1)
        return CocoImage.model_construct(
            id=number,
            file_name=payload.key,
            width=payload.width,
            height=payload.height,
            coco_url=payload.uri,
            uri=payload.uri,
            version=payload.version,
            generation=payload.generation,
        )

    def _annotation(self, point: Point) -> CocoAnnotation | None:
        payload = point.parse_payload()
        image = self.images.get(f"{payload.image_id} {payload.generation}")
        # Its image has come, or gone, since the images were written.
        if image is None or payload.rle is None:
            return None
        if not payload.has_sound_shape():
            self.broken += 1
            return None
        self.annotations += 1
        x0, y0, x1, y1 = payload.bbox
        return CocoAnnotation.model_construct(
            id=self.annotations,
            image_id=image,
            category_id=self._category(payload),
            segmentation={"size": list(payload.rle.size), "counts": payload.rle.counts},
            area=payload.area,
            bbox=(x0, y0, x1 - x0, y1 - y0),
            iscrowd=0,
            score=payload.label_scores[0] if payload.label_scores else None,
            object_id=point.id,
            predicted_iou=payload.predicted_iou,
            stability_score=payload.stability_score,
        )

    def _category(self, payload: PointPayload) -> int:
        label = payload.labels[0] if payload.labels else UNLABELLED
        return self._categories.setdefault(label, len(self._categories) + 1)
