"""Writes chosen objects as labels of YOLO's segmentation format, an image a file."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pipeline.selection.objects import ChosenObject
from pipeline.selection.polygons import trace_polygon
from pipeline.selection.zip_stream import Entry
from schemas.coco import frame_name
from schemas.labels import UNLABELLED
from schemas.payload import PointPayload

_DECIMALS = 6


class YoloLabels:
    """Collects objects; those without a sound mask, or whose image has no known size, are left out.

    `left_out` is how many; `objects` are in the files.
    """

    def __init__(self, chosen: Iterable[ChosenObject]) -> None:
        self.objects = self.left_out = 0
        self._classes: dict[str, int] = {}
        self._names: dict[tuple[str, float | None], str] = {}
        self._used: set[str] = set()
        self._lines: dict[str, list[str]] = defaultdict(list)
        for each in chosen:
            self._add(each.payload)

    @property
    def images(self) -> int:
        """How many images have objects."""
        return len(self._names)

    def entries(self) -> Iterator[Entry]:
        """The files: `data.yaml`, `images.csv` with where each image is, and `labels/NAME.txt`.

        A line is the number of a class, then x and y of each corner of the polygon as shares of
        width and height.
        """
        names = "".join(
            f"  {number}: {json.dumps(name)}\n" for name, number in self._classes.items()
        )
        yield "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names}".encode()
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("image", "uri", "t_key"))
        writer.writerows(
            (name, uri, "" if time_s is None else time_s)
            for (uri, time_s), name in self._names.items()
        )
        yield "images.csv", table.getvalue().encode()
        for name, lines in self._lines.items():
            yield f"labels/{PurePosixPath(name).stem}.txt", "".join(lines).encode()

    def _add(self, payload: PointPayload) -> None:
        rle = payload.sound_mask()
        polygon = None if rle is None or not payload.has_size else trace_polygon(rle.decode())
        if polygon is None:
            self.left_out += 1
            return
        self.objects += 1
        label = payload.labels[0] if payload.labels else UNLABELLED
        number = self._classes.setdefault(label, len(self._classes))
        shares = (polygon / (payload.width, payload.height)).round(_DECIMALS)
        corners = " ".join(f"{value:g}" for value in shares.ravel().tolist())
        self._lines[self._name_image(payload)].append(f"{number} {corners}\n")

    def _name_image(self, payload: PointPayload) -> str:
        """A name for the image that no other has but for its suffix, as labels go by it."""
        place = (payload.uri, payload.t_key)
        if place not in self._names:
            path = PurePosixPath(frame_name(payload.key, payload.t_key).replace("#", "-"))
            stem, suffix = (
                (path.stem, path.suffix) if payload.t_key is None else (path.name, ".jpg")
            )
            stem = stem.replace("\\", "-") or "image"
            name, number = stem, 1
            while name.casefold() in self._used:
                number += 1
                name = f"{stem}-{number}"
            self._used.add(name.casefold())
            self._names[place] = f"{name}{suffix}"
        return self._names[place]
