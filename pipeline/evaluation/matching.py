"""Matches indexed objects with annotations: what each shows, and which were found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from schemas.coco import CocoAnnotation, CocoId, CocoImage, CocoTruth
from schemas.errors import UsageError
from schemas.overlaps import mask_iou
from schemas.points import Point
from workers.indexes.points import NoteBroken, sound_mask_of

MIN_VISIBLE_FRACTION = 0.5
_MIN_SIDE_PX, _REFERENCE_SIDE_PX = 32, 640
MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class MatchedObject:
    """An indexed object with the annotation that it shows, if any."""

    object_id: str
    image_id: CocoId
    annotation: CocoAnnotation | None


@dataclass(frozen=True, slots=True)
class Matching:
    """IoU of the best indexed object for every annotation to be found; every object by its id."""

    best_iou: dict[CocoId, float]
    objects: dict[str, MatchedObject]


def must_be_found(annotation: CocoAnnotation, image: CocoImage) -> bool:
    """Whether an object must be found: visible enough, large enough, not a crowd."""
    seen = is_seen(annotation.visible_fraction, max(annotation.bbox[2:]), image.size_hw)
    return seen and not annotation.iscrowd


def is_seen(visible_fraction: float, longer_px: float, size_hw: tuple[int, int]) -> bool:
    """Whether so much of an object is visible, and it is so long for its image, that it counts."""
    longer = longer_px * _REFERENCE_SIDE_PX / max(size_hw)
    return visible_fraction >= MIN_VISIBLE_FRACTION and longer >= _MIN_SIDE_PX


def name_in_uri(image: CocoImage) -> str:
    """The end of the path or key by which an image of the truth is known again."""
    return image.file_name.removeprefix("./").lstrip("/")


class ImageNames:
    """The images of a truth, by the ends of paths and keys that their file names are."""

    def __init__(self, truth: CocoTruth) -> None:
        self._image_of = {name_in_uri(image): image for image in truth.images}
        self._depth = max((name.count("/") for name in self._image_of), default=0)

    def find(self, point: Point) -> CocoImage | None:
        """The image of a point, None if it has none; where several names fit, the longest does."""
        parts = f"{point.payload.get('bucket')}/{point.payload.get('key')}".split("/")
        tails = ("/".join(parts[-n:]) for n in range(self._depth + 1, 0, -1))
        return next((self._image_of[tail] for tail in tails if tail in self._image_of), None)


def group_by_image(points: Iterable[Point], truth: CocoTruth) -> dict[CocoId, list[Point]]:
    """Indexed objects of each image of the truth, whose file name is the end of their path or key.

    Points that are none of objseek's are left out. Raises UsageError where no image is indexed.
    """
    names = ImageNames(truth)
    found: dict[CocoId, list[Point]] = {image.id: [] for image in truth.images}
    indexed = False
    for point in points:
        image = names.find(point)
        if image is None:
            continue
        indexed = True
        if point.payload.get("kind") == "object":
            found[image.id].append(point)
    if not indexed:
        refuse_names()
    return found


def refuse_names() -> NoReturn:
    """Raise UsageError: no image is in both."""
    raise UsageError("no image of the ground truth is in the index: do the file names agree?")


def check_sizes(image: CocoImage, points: Sequence[Point]) -> None:
    """Raise UsageError unless the index has an image in the size that the truth has it in."""
    for point in points:
        width, height, uri = (point.payload.get(field) for field in ("width", "height", "uri"))
        if (width, height) != (image.width, image.height):
            raise UsageError(
                f"the ground truth has {image.file_name} as {image.width} x {image.height} pixels, "
                f"the index has {uri} as {width} x {height}"
            )


def match(truth: CocoTruth, found: dict[CocoId, list[Point]], note_broken: NoteBroken) -> Matching:
    """Match every indexed object with the annotations of its image; a broken mask matches none."""
    annotations_of: dict[CocoId, list[CocoAnnotation]] = defaultdict(list)
    for annotation in truth.annotations:
        annotations_of[annotation.image_id].append(annotation)
    best_iou: dict[CocoId, float] = {}
    objects: dict[str, MatchedObject] = {}
    for image in truth.images:
        annotations, points = annotations_of[image.id], found[image.id]
        check_sizes(image, points)
        true = [annotation.to_rle(image.size_hw) for annotation in annotations]
        masks = {point.id: sound_mask_of(point, note_broken) for point in points}
        rle_of = {point_id: rle for point_id, rle in masks.items() if rle is not None}
        iou = mask_iou([*rle_of.values()], true)
        for column, annotation in enumerate(annotations):
            if must_be_found(annotation, image):
                best_iou[annotation.id] = float(iou[:, column].max(initial=0.0))
        objects |= {point_id: MatchedObject(point_id, image.id, None) for point_id in masks}
        for row, point_id in enumerate(rle_of):
            column = int(iou[row].argmax()) if true else -1
            if true and iou[row, column] >= MATCH_IOU:
                objects[point_id] = MatchedObject(point_id, image.id, annotations[column])
    return Matching(best_iou, objects)
