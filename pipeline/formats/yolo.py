"""Writes objects as a dataset of YOLO's for segmentation: a text a image, a line an object."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pipeline.formats.exported_object import ExportedImage, ExportedObject
from pipeline.formats.image_files import (
    IMAGE_HEADER,
    IMAGE_LIST,
    ImageNames,
    write_image_row,
)
from pipeline.formats.mask_path import trace_path

DATA = "data.yaml"
IMAGES, LABELS = "images", "labels"
_LEAST_POINTS = 3
"""Of a polygon; readers take lines with fewer for boxes."""
_DECIMALS = 6
_INTO_PIXEL = 0.25


class YoloNames(ImageNames):
    """Names for the files of images, each once, and numbers for classes, in order of appearance."""

    def __init__(self) -> None:
        super().__init__()
        self._classes: dict[str, int] = {}

    @property
    def classes(self) -> Mapping[str, int]:
        """The number of each class so far, from 0."""
        return self._classes

    def number_class(self, label: str) -> int:
        """The number of a class, a new one if it has not appeared before."""
        return self._classes.setdefault(label, len(self._classes))

    def name_labels(self, image: ExportedImage) -> str:
        """The file of an image's labels, without folders."""
        return f"{self.name_stem(image)}.txt"


def write_label_line(found: ExportedObject, class_number: int) -> str:
    """The number of the class, then x and y of each point as shares of width and height.

    Points are a quarter into their pixels: readers that cut them off to pixels, as ultralytics, or
    round them, as supervision, and fill and draw the polygon, have the mask again, with its holes;
    of an object in several parts also the pixels under the bridges between these. Raises ValueError
    for an invalid mask.
    """
    path = trace_path(found.rle)
    height, width = found.image.size_hw
    points = path.tolist()
    points += points[-1:] * (_LEAST_POINTS - len(points))
    shares = (
        f"{(place + _INTO_PIXEL) / side:.{_DECIMALS}f}"
        for x, y in points
        for place, side in ((x, width), (y, height))
    )
    return f"{class_number} {' '.join(shares)}\n"


def write_data(classes: Mapping[str, int]) -> str:
    """The text of data.yaml: the names of classes, and where images are.

    One folder is for training and validation both: a split is the user's to make.
    """
    lines = [f"train: {IMAGES}", f"val: {IMAGES}", f"nc: {len(classes)}", "names:"]
    # A text of JSON is one of YAML.
    lines += [f"  {number}: {json.dumps(name)}" for name, number in classes.items()]
    return "\n".join(lines) + "\n"


def list_yolo_files(objects: Iterable[ExportedObject]) -> Iterator[tuple[str, str]]:
    """The files of a dataset of a few objects, by their paths in it; images are only listed."""
    names = YoloNames()
    labels: dict[str, list[str]] = defaultdict(list)
    images: dict[str, str] = {}
    for found in objects:
        file = names.name_image(found.image)
        images.setdefault(file, write_image_row(file, found.image))
        line = write_label_line(found, names.number_class(found.label))
        labels[names.name_labels(found.image)].append(line)
    for name, lines in labels.items():
        yield f"{LABELS}/{name}", "".join(lines)
    yield IMAGE_LIST, IMAGE_HEADER + "".join(images.values())
    yield DATA, write_data(names.classes)
