"""Groups the masks of a COCO file by the images that they are of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.coco import CocoId, CocoImage, CocoMask, CocoMasks
from schemas.masks import ObjectMask
from schemas.tags import Tags

_UNSCORED = 1.0
"""The scores of a mask without any: whoever made the file believes in it."""


@dataclass(frozen=True, slots=True)
class CocoImageMasks:
    """An image of a file with its masks, largest first, and the tags of those that have any.

    Tags are by the counts of a mask: those of equal masks are joined.
    """

    image: CocoImage
    masks: tuple[ObjectMask, ...]
    tags: Mapping[str, Tags] = field(default_factory=dict)


def group_masks(document: CocoMasks) -> list[CocoImageMasks]:
    """All images of a document, with all their masks."""
    masks: dict[CocoId, list[ObjectMask]] = defaultdict(list)
    tags: dict[CocoId, dict[str, Tags]] = defaultdict(dict)
    images = {image.id: image for image in document.images}
    for annotation in document.annotations:
        image = images[annotation.image_id]
        mask = _measure(annotation, image.size_hw)
        masks[image.id].append(mask)
        if annotation.tags:
            before = tags[image.id].get(mask.rle.counts, ())
            tags[image.id][mask.rle.counts] = tuple(dict.fromkeys((*before, *annotation.tags)))
    return [
        CocoImageMasks(image, _sort(masks[image.id]), tags[image.id]) for image in document.images
    ]


def _sort(masks: Sequence[ObjectMask]) -> tuple[ObjectMask, ...]:
    return tuple(sorted(masks, key=lambda mask: -mask.area_px))


def _measure(annotation: CocoMask, size_hw: tuple[int, int]) -> ObjectMask:
    iou, stability = annotation.predicted_iou, annotation.stability_score
    mask = ObjectMask.measure(
        annotation.to_rle(size_hw),
        predicted_iou=_UNSCORED if iou is None else iou,
        stability_score=_UNSCORED if stability is None else stability,
    )
    assert mask is not None  # `load_masks` leaves out what has no pixel
    return mask
