"""Hold indexed objects against annotations: what each shows, and which were found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from schemas.coco import CocoAnnotation, CocoImage, CocoTruth
from schemas.errors import UsageError
from schemas.points import Point

MIN_VISIBLE_FRACTION = 0.5
MIN_SIDE_PX, REFERENCE_SIDE_PX = 32, 640
MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """An indexed object with the annotation that it shows, if any."""

    object_id: str
    image_id: int
    annotation: CocoAnnotation | None


@dataclass(frozen=True, slots=True)
class Matching:
    """IoU of the best indexed object for every counted annotation; what each object shows."""

    best_iou: dict[int, float]
    seen: dict[str, Seen]


def counts(annotation: CocoAnnotation, image: CocoImage) -> bool:
    """Whether an object must be found: visible enough, large enough, not a crowd."""
    longer = max(annotation.bbox[2:]) * REFERENCE_SIDE_PX / max(image.width, image.height)
    return (
        annotation.visible_fraction >= MIN_VISIBLE_FRACTION
        and longer >= MIN_SIDE_PX
        and not annotation.iscrowd
    )


def by_image(points: Iterable[Point], truth: CocoTruth) -> dict[int, list[Point]]:
    """Indexed objects of each image of the truth, which is found by the end of the uri."""
    image_of = {image.file_name.lstrip("/"): image.id for image in truth.images}
    depth = max((name.count("/") for name in image_of), default=0)
    found: dict[int, list[Point]] = {image.id: [] for image in truth.images}
    indexed: set[int] = set()
    for point in points:
        payload = point.parse_payload()
        parts = payload.uri.split("/")
        tails = ("/".join(parts[-n:]) for n in range(1, depth + 2))
        number = next((image_of[tail] for tail in tails if tail in image_of), None)
        if number is None:
            continue
        indexed.add(number)
        if payload.kind == "object":
            found[number].append(point)
    if not indexed:
        raise UsageError("no image of the ground truth is in the index: do the file names agree?")
    return found


def _check_size(image: CocoImage, points: Sequence[Point]) -> None:
    for payload in (point.payload for point in points):
        if (payload["width"], payload["height"]) != (image.width, image.height):
            raise UsageError(
                f"the ground truth has {image.file_name} as {image.width} x {image.height} pixels, "
                f"the index has {payload['uri']} as {payload['width']} x {payload['height']}"
            )


def match(truth: CocoTruth, found: dict[int, list[Point]]) -> Matching:
    """Hold every indexed object against the annotations of its image."""
    of_image: dict[int, list[CocoAnnotation]] = defaultdict(list)
    for annotation in truth.annotations:
        of_image[annotation.image_id].append(annotation)
    best_iou: dict[int, float] = {}
    seen: dict[str, Seen] = {}
    for image in truth.images:
        annotations, points = of_image[image.id], found[image.id]
        _check_size(image, points)
        rles = [a.coco_rle(image.width, image.height) for a in annotations]
        mine = [point.payload["rle"] for point in points if point.payload.get("rle")]
        iou = np.zeros((len(mine), len(rles)))
        if mine and rles:
            iou = np.asarray(coco_mask.iou(mine, rles, [0] * len(rles)))
        for column, annotation in enumerate(annotations):
            if counts(annotation, image):
                best_iou[annotation.id] = float(iou[:, column].max(initial=0.0))
        for row, point in enumerate(points):
            column = int(iou[row].argmax()) if rles else -1
            shown = annotations[column] if rles and iou[row, column] >= MATCH_IOU else None
            seen[point.id] = Seen(point.id, image.id, shown)
    return Matching(best_iou, seen)
