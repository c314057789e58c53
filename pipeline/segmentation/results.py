"""What segmenting an image ends in, and the plain values that files and answers are made of."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.drawing.contact_sheet import file_name
from schemas.errors import UsageError
from schemas.images import DecodedImage, ImageRef
from schemas.masks import ObjectMask


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """An image with its masks."""

    image: DecodedImage
    masks: tuple[ObjectMask, ...]

    @property
    def uri(self) -> str:
        return self.image.ref.uri

    @property
    def name(self) -> str:
        """The last part of its uri."""
        return file_name(self.uri)


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that is not segmented, because what was asked for does not fit it."""

    ref: ImageRef
    error: UsageError


def describe_mask(mask: ObjectMask) -> dict[str, object]:
    """A mask as JSON; `bbox` is x0, y0, x1, y1, half-open."""
    return {
        "bbox": list(mask.bbox_xyxy),
        "area": mask.area_px,
        "label": mask.segmenter_label,
        "score": mask.segmenter_score,
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability_score,
        "rle": {"size": list(mask.rle.size_hw), "counts": mask.rle.counts},
    }


def describe_image(result: SegmentedImage) -> dict[str, object]:
    """An image and its masks as JSON."""
    height, width = result.image.size_hw
    masks = [describe_mask(mask) for mask in result.masks]
    return {"uri": result.uri, "width": width, "height": height, "masks": masks}


class FileNames:
    """Names files after images, each once: those of one name are numbered from the second on."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def choose(self, result: SegmentedImage) -> str:
        """The image's name without its suffix, and a number where that is taken."""
        stem = result.name.rpartition(".")[0] or result.name
        name, number = stem, 1
        while name.lower() in self._given:  # file systems may not tell capitals
            number += 1
            name = f"{stem}-{number}"
        self._given.add(name.lower())
        return name
