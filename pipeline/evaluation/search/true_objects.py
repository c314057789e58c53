"""Knows the true objects of an index's images: where each label is, and what a hit shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.evaluation.matching import (
    ImageNames,
    check_sizes,
    must_be_found,
    name_in_uri,
    refuse_names,
)
from schemas.coco import CocoAnnotation, CocoId, CocoImage, CocoTruth, join_images
from schemas.errors import UsageError
from schemas.masks import CocoRle
from schemas.overlaps import mask_iou
from schemas.points import Point
from schemas.search import Condition
from workers.protocols import VectorIndex

_WHOLE_IMAGES = Condition(field="kind", op="=", value="image")


@dataclass(frozen=True, slots=True)
class Target:
    """A mask in an image that is right for a query.

    `image_id` is None where the index has no such object, so that no hit can be it. One that need
    not be found (`must` is false) is right all the same. Of a video it is in the frame at `t_key`.
    """

    image_id: str | None
    rle: CocoRle | None
    object_id: str | None = None
    must: bool = True
    t_key: float | None = None


@dataclass(frozen=True, slots=True)
class TrueObject:
    """An object of the truth in an indexed image; see `must_be_found`."""

    image_id: str
    label: str
    rle: CocoRle
    must: bool

    def to_target(self) -> Target:
        return Target(self.image_id, self.rle, must=self.must)


class TrueObjects:
    """The objects of those images of a truth that are in the index.

    `labels` are all that the truth knows, `missing` how many of its images the index lacks. Raises
    UsageError where it lacks all of them, or has one in another size.
    """

    def __init__(self, truth: CocoTruth, index: VectorIndex) -> None:
        truth = join_images(truth, name_in_uri)
        label_of = {category.id: category.name for category in truth.categories}
        annotations: dict[CocoId, list[CocoAnnotation]] = defaultdict(list)
        for annotation in truth.annotations:
            annotations[annotation.image_id].append(annotation)
        self.labels = frozenset(label_of.values())
        self._of_label: dict[str, list[TrueObject]] = {label: [] for label in self.labels}
        self._of_image: dict[str, list[TrueObject]] = {}
        self._uri_of: dict[str, str] = {}
        indexed = _find_images(truth, index)
        for point, image in indexed:
            image_id = str(point.payload["image_id"])
            self._uri_of[image_id] = str(point.payload["uri"])
            self._of_image[image_id] = [
                TrueObject(
                    image_id,
                    label_of[each.category_id],
                    each.to_rle(image.size_hw),
                    must_be_found(each, image),
                )
                for each in annotations[image.id]
            ]
        for objects in self._of_image.values():
            for each in objects:
                self._of_label[each.label].append(each)
        self.missing = len(truth.images) - len({image.id for _, image in indexed})

    @property
    def images(self) -> int:
        """How many images of the index it covers."""
        return len(self._of_image)

    def covers(self, image_id: str) -> bool:
        """Whether it is known what an indexed image shows."""
        return image_id in self._of_image

    def uri_of(self, image_id: str) -> str:
        """Where an image is that it covers."""
        return self._uri_of[image_id]

    def list_objects(self, label: str) -> list[TrueObject]:
        """The objects of a label. Raises UsageError for one that the truth does not have."""
        if label not in self._of_label:
            raise UsageError(f"expected a label of the ground truth, got {label!r}")
        return self._of_label[label]

    def name_object(self, image_id: str, rle: CocoRle, least_iou: float) -> str | None:
        """The label of the object that a mask in an image fits best, None if it fits none."""
        shown = self._of_image[image_id]
        iou = mask_iou([rle], [each.rle for each in shown])
        if not iou.size or iou.max() < least_iou:
            return None
        return shown[int(iou.argmax())].label


def _find_images(truth: CocoTruth, index: VectorIndex) -> list[tuple[Point, CocoImage]]:
    """Indexed images, in a fixed order, with what the truth has them as."""
    names = ImageNames(truth)
    found = [(point, names.find(point)) for point in index.scroll([_WHOLE_IMAGES])]
    known = [(point, image) for point, image in found if image is not None]
    for point, image in known:
        check_sizes(image, [point])
    if not known:
        refuse_names()
    return sorted(known, key=lambda pair: str(pair[0].payload["image_id"]))


def list_images_under(index: VectorIndex, conditions: Iterable[Condition]) -> set[str]:
    """The ids of indexed images that meet all conditions."""
    points = index.scroll([_WHOLE_IMAGES, *conditions])
    return {str(point.payload.get("image_id")) for point in points}
