"""Writes chosen objects as a document in COCO's instances format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.selection.objects import ChosenObject
from schemas.coco import frame_name
from schemas.labels import UNLABELLED
from schemas.payload import PointPayload


class CocoDocument:
    """Collects objects, and gives all of them an image, a category and, in a video, a video."""

    def __init__(self, chosen: Iterable[ChosenObject]) -> None:
        self._images: dict[tuple[str, float | None], dict[str, Any]] = {}
        self._videos: dict[str, dict[str, Any]] = {}
        self._categories: dict[str, int] = {}
        self._annotations = [self._describe(each, number) for number, each in enumerate(chosen, 1)]

    def to_dict(self) -> dict[str, Any]:
        """Images, annotations and categories; videos where there are any."""
        document: dict[str, Any] = {
            "images": list(self._images.values()),
            "annotations": self._annotations,
            "categories": [
                {"id": number, "name": name} for name, number in self._categories.items()
            ],
        }
        return document | ({"videos": list(self._videos.values())} if self._videos else {})

    def _describe(self, chosen: ChosenObject, number: int) -> dict[str, Any]:
        payload = chosen.payload
        x0, y0, x1, y1 = payload.bbox
        label = payload.labels[0] if payload.labels else UNLABELLED
        # Other programs hang at a mask that does not fit its image.
        rle = payload.sound_mask()
        mask = None if rle is None else {"size": list(rle.size_hw), "counts": rle.counts}
        return {
            "id": number,
            "image_id": self._image_of(payload),
            "category_id": self._categories.setdefault(label, len(self._categories) + 1),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": payload.area,
            "iscrowd": 0,
            "segmentation": mask,
            **({} if chosen.score is None else {"score": chosen.score}),
            "object_id": chosen.object_id,
            **({"tags": list(payload.tags)} if payload.tags else {}),
        }

    def _image_of(self, payload: PointPayload) -> int:
        place = (payload.uri, payload.t_key)
        if place not in self._images:
            image = {
                "id": len(self._images) + 1,
                "file_name": frame_name(payload.key, payload.t_key),
                "height": payload.height,
                "width": payload.width,
                "uri": payload.uri,
                "version": payload.version,
            }
            if payload.t_key is not None:
                image |= {"video_id": self._video_of(payload), "time_s": payload.t_key}
            self._images[place] = image
        number: int = self._images[place]["id"]
        return number

    def _video_of(self, payload: PointPayload) -> int:
        known = self._videos.setdefault(
            payload.uri, {"id": len(self._videos) + 1, "name": payload.key, "uri": payload.uri}
        )
        number: int = known["id"]
        return number
