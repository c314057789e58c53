"""A `Segmenter` that looks for the same texts in every image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenter_protocols import TextFinder
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.masks.selection import select_masks


class FixedTextSegmenter(LabelledSegmenter):
    """Looks for `texts`; its `text_finder` looks for any.

    `made_of` describes what changes the result of the finder, for the fingerprint.
    """

    def __init__(
        self,
        finder: TextFinder,
        texts: Sequence[str],
        options: SegmenterOptions,
        made_of: Mapping[str, object],
    ) -> None:
        self.text_finder = finder
        super().__init__(_FixedTexts(finder, tuple(texts), made_of), options)


@dataclass(frozen=True, slots=True, eq=False)
class _FixedTexts:
    finder: TextFinder
    texts: tuple[str, ...]
    made_of: Mapping[str, object]

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        return self.finder.find(image, self.texts)

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        return {"texts": list(self.texts), **self.made_of}


def select_surest(found: Iterable[ObjectMask], options: SegmenterOptions) -> list[ObjectMask]:
    """The objects of texts within the limits of `options`, surest first; one of equal masks."""
    rising = sorted(found, key=_score)
    surest = {mask.rle: mask for mask in rising}.values()
    return sorted(select_masks([*surest], options), key=_score, reverse=True)


def _score(mask: ObjectMask) -> float:
    return mask.segmenter_score or 0.0
