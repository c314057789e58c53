"""A `Segmenter` of any model that knows classes: images to frames, a model, and its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.errors import UsageError
from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.masks.selection import describe_limits, drop_equal, select_masks


class Finder(Protocol):
    """A model with what prepares its images and reads its outputs."""

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """Every object of uint8 (height, width, 3), in any order, with its class and score."""
        ...

    def describe(self) -> dict[str, object]:
        """All that changes what is found, but for the weights, as plain values."""
        ...


class LabelledSegmenter:
    """Objects with `segmenter_label` and `segmenter_score`, within the limits of `options`.

    `fingerprint` covers the weights, how images are prepared, classes and thresholds.
    `stuff_labels` are those of classes that have no instances.
    """

    def __init__(
        self,
        finder: Finder,
        options: SegmenterOptions,
        weights_sha256: str = "",
        stuff_labels: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.stuff_labels = options.name, stuff_labels
        self.notes: tuple[str, ...] = ()
        self._finder, self._options = finder, options
        made_of: Mapping[str, object] = {
            "segmenter": options.name,
            "weights_sha256": weights_sha256,
            "finder": finder.describe(),
            "limits": describe_limits(options),
        }
        self.fingerprint = fingerprint(made_of)

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """Masks of each image, largest first; of equal ones the surest."""
        return [
            select_masks(drop_equal(self._finder.find(image)), self._options) for image in images
        ]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        """The smallest object of the image that holds a point, None if there is none.

        Raises UsageError for a point that is not in the image.
        """
        (objects,) = self.segment([image])
        return find_at(objects, image.shape[:2], point_xy)


def find_at(
    objects: Sequence[ObjectMask], size_hw: tuple[int, ...], point_xy: tuple[float, float]
) -> ObjectMask | None:
    """The last, which is the smallest, of an image's objects that holds a point.

    Raises UsageError for a point that is not in the image.
    """
    (x, y), (height, width) = point_xy, size_hw
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(
            f"expected a point within the image's {width} x {height} pixels, got {x:g},{y:g}"
        )
    column, row = int(x), int(y)
    holding = (mask for mask in objects if mask.rle.decode_columns(column, column + 1)[row, 0])
    return next(reversed([*holding]), None)
