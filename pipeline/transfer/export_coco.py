"""Writes the masks of an index as a COCO instances file, point by point."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel

from pipeline.formats.image_names import name_below
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.export_file import check_target
from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.source_snapshot import hold_source
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoVideo, frame_name
from schemas.errors import NotIndexedError
from schemas.ids import IMAGE_ORDINAL
from schemas.labels import UNLABELLED
from schemas.masks import ObjectMask
from schemas.payload import PointPayload
from schemas.points import Point
from schemas.search import Condition
from workers.durable_files import write_output
from workers.protocols import VectorIndex

_NOTE_EVERY = 10_000
_DECIMALS = 6
_WHAT = "the COCO file"


def export_coco(
    settings: Settings,
    target: Path,
    progress: Progress | None = None,
    *,
    replacing: bool = True,
    images: str | None = None,
) -> ExportSummary:
    """Write every mask as an annotation; its category is its surest label.

    Of a video every frame in which an object was seen is an image with its masks, as COCO-VID has
    them: images have `video_id` and `frame_id`, annotations of one object one `instance_id`. Where
    its masks are not kept, only key frames are there. A number is kept for each image and frame,
    and nothing else. Annotations have what COCO has no field for under our names:
    `object_id`, `score` (of the label), `predicted_iou`, `stability_score`, `tags`; images `uri`,
    `version`, `generation`, `time_s`. Names of images are their keys, of those below `images`, a
    folder or `s3://bucket/prefix`, the rest of it. Objects whose mask does not fit its image, at
    which other programs hang, or whose box does not, are left out, and so are imported ones that
    have a box alone. Raises UsageError where nothing can be written, or unless `replacing` a file
    is there, and what `hold_source` raises.
    """
    progress = progress or Progress()
    check_target(target, _WHAT, replacing=replacing)
    with (
        hold_source(settings, progress) as source,
        write_output(target, _WHAT) as file,
        TextIOWrapper(file, encoding="utf-8") as text,
    ):
        name = partial(name_below, images=images)
        instances = _Instances(source.index, source.manifest, text, progress, name)
        instances.write()
    return ExportSummary(
        objects=instances.objects,
        images=instances.images,
        files=1,
        size_bytes=target.stat().st_size,
        queued=0,
        broken=instances.broken,
    )


class _Instances:
    def __init__(
        self,
        index: VectorIndex,
        manifest: Manifest,
        file: TextIO,
        progress: Progress,
        name: Callable[[str, str], str],
    ) -> None:
        self._index, self._tracks, self._name = index, manifest.tracks, name
        self._has_lone_objects = any(
            not all(table["has_whole"].to_pylist()) for table in manifest.tables(["has_whole"])
        )
        self._file, self._progress = file, progress
        self.images = self.objects = self.broken = 0
        self._numbers: dict[_Frame, int] = {}
        self._annotations = 0
        self._videos: list[CocoVideo] = []
        self._categories = {UNLABELLED: 1}

    def write(self) -> None:
        info = {
            "description": "objects of an index of objseek",
            "version": metadata.version("objseek"),
            "date_created": datetime.now(UTC).isoformat(),
        }
        self._file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"images": [')
        before = self._write_points("image", self._describe_image)
        if self._has_lone_objects:
            self._write_points("object", self._describe_image_of, before)
        self._file.write('\n],\n"annotations": [')
        self._write_points("object", self._describe_object)
        categories = [
            CocoCategory(id=number, name=name) for name, number in self._categories.items()
        ]
        self._file.write(f'\n],\n"categories": [{", ".join(map(_to_json, categories))}]')
        if self._videos:
            self._file.write(f',\n"videos": [{", ".join(map(_to_json, self._videos))}]')
        self._file.write("}\n")

    def _write_points(
        self,
        kind: str,
        describe: Callable[[Point, PointPayload], Iterable[BaseModel]],
        before: str = "\n",
    ) -> str:
        """Write what there is to say of all points of a kind; what comes before the next entry."""
        points = self._index.scroll([Condition(field="kind", op="=", value=kind)])
        for number, point in enumerate(points, start=1):
            for entry in describe(point, point.parse_payload()):
                self._file.write(before + _to_json(entry))
                before = ",\n"
            if number % _NOTE_EVERY == 0:
                self._progress.note(f"{number:,} {kind}s written")
        return before

    def _describe_image(self, point: Point, payload: PointPayload) -> Iterator[CocoImage]:
        """The image, or of a video all frames; its first shot stands for it."""
        if payload.ordinal != IMAGE_ORDINAL:
            return
        self.images += 1
        if payload.t_key is None:
            yield self._number_image(payload, None)
            return
        video = CocoVideo(id=len(self._videos) + 1, name=payload.key, uri=payload.uri)
        self._videos.append(video)
        for place, time_s in enumerate(self._list_times(payload)):
            of_video = {"video_id": video.id, "frame_id": place, "time_s": _round(time_s)}
            yield self._number_image(payload, time_s).model_copy(update=of_video)

    def _describe_image_of(self, point: Point, payload: PointPayload) -> Iterator[CocoImage]:
        """The image of an object, if it was imported without a point of its own."""
        is_known = _find_frame(payload, None) in self._numbers
        if payload.rle is None or payload.t_key is not None or is_known:
            return
        self.images += 1
        yield self._number_image(payload, None)

    def _number_image(self, payload: PointPayload, time_s: float | None) -> CocoImage:
        number = self._numbers.setdefault(_find_frame(payload, time_s), len(self._numbers) + 1)
        return CocoImage.model_construct(
            id=number,
            file_name=frame_name(self._name(payload.uri, payload.key), time_s),
            width=payload.width,
            height=payload.height,
            coco_url=payload.uri,
            uri=payload.uri,
            version=payload.version,
            generation=payload.generation,
        )

    def _list_times(self, payload: PointPayload) -> list[float]:
        """Of a video's frames that show any object."""
        try:
            return self._tracks.times(payload.image_id, payload.generation)
        except NotIndexedError:
            conditions = (
                Condition(field="kind", op="=", value="object"),
                Condition(field="image_id", op="=", value=payload.image_id),
                Condition(field="generation", op="=", value=payload.generation),
            )
            return sorted({point.payload["t_key"] for point in self._index.scroll(conditions)})

    def _describe_object(self, point: Point, payload: PointPayload) -> Iterator[CocoAnnotation]:
        """The mask of an object, or of one of a video all masks."""
        if payload.rle is None:
            return
        if not payload.has_sound_shape():
            self.broken += 1
            return
        self.objects += 1
        for time_s, mask in self._list_masks(payload):
            # Its image has come, or gone, since the images were written.
            if (image := self._numbers.get(_find_frame(payload, time_s))) is None:
                continue
            self._annotations += 1
            x0, y0, x1, y1 = mask.bbox_xyxy
            annotation = CocoAnnotation.model_construct(
                id=self._annotations,
                image_id=image,
                category_id=self._number_category(payload),
                segmentation={"size": list(mask.rle.size_hw), "counts": mask.rle.counts},
                area=mask.area_px,
                bbox=(x0, y0, x1 - x0, y1 - y0),
                iscrowd=0,
                score=payload.label_scores[0] if payload.label_scores else None,
                object_id=point.id,
                predicted_iou=mask.predicted_iou,
                stability_score=mask.stability_score,
            )
            more: dict[str, object] = {"tags": [*payload.tags]} if payload.tags else {}
            if time_s is not None:
                more["instance_id"] = self.objects
            yield annotation.model_copy(update=more)

    def _list_masks(self, payload: PointPayload) -> Iterator[tuple[float | None, ObjectMask]]:
        """Masks with the times of their frames, None in an image."""
        if payload.t_key is None:
            yield None, _read_own_mask(payload)
            return
        try:
            sightings = self._tracks.read(payload.image_id, payload.generation, payload.ordinal)
        except NotIndexedError:
            yield payload.t_key, _read_own_mask(payload)
            return
        yield from ((sighting.time_s, sighting.mask) for sighting in sightings)

    def _number_category(self, payload: PointPayload) -> int:
        label = payload.labels[0] if payload.labels else UNLABELLED
        return self._categories.setdefault(label, len(self._categories) + 1)


_Frame = tuple[str, str, float | None]


def _find_frame(payload: PointPayload, time_s: float | None) -> _Frame:
    # Images of one index in several generations have masks of each.
    return payload.image_id, payload.generation, None if time_s is None else _round(time_s)


def _round(time_s: float) -> float:
    """As times of points are rounded, which those of masks are not."""
    return round(time_s, _DECIMALS)


def _read_own_mask(payload: PointPayload) -> ObjectMask:
    """The mask of a payload with a sound shape."""
    assert payload.rle is not None
    x0, y0, x1, y1 = payload.bbox
    return ObjectMask(
        payload.rle.to_rle(), payload.bbox, payload.area, payload.predicted_iou,
        payload.stability_score, ((x0 + x1) / 2, (y0 + y1) / 2),
    )  # fmt: skip


def _to_json(entry: BaseModel) -> str:
    # Datumaro, which CVAT reads by, takes no null for a number.
    return json.dumps(entry.model_dump(exclude_unset=True, exclude_none=True))
