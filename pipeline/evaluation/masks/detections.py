"""What is compared: an image's true masks and the found ones, with classes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from schemas.masks import CocoRle, RunLengths

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
UNKNOWN_CLASS = -2
"""The number of a class that the truth does not have."""


@lru_cache(maxsize=1024)
def find_runs(rle: CocoRle) -> RunLengths:
    """`CocoRle.runs`, kept for the masks of an image, each of which is compared in several ways.

    Not to be written to. Raises ValueError for an invalid RLE.
    """
    runs = rle.runs()
    runs.setflags(write=False)
    return runs


@lru_cache(maxsize=1024)
def count_pixels(rle: CocoRle) -> int:
    """The pixels inside, kept as well. Raises ValueError for an invalid RLE."""
    return int(find_runs(rle)[1::2].sum())


@dataclass(frozen=True, slots=True)
class TrueMask:
    """A true mask, the number of its class, and its area in pixels as its annotation states it.

    A crowd stands for several objects: what lies in it is neither right nor wrong.
    """

    rle: CocoRle
    category: int
    area: float
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class FoundMask:
    """A found mask, the number of the class that it is said to be of, and how sure that is."""

    rle: CocoRle
    category: int
    score: float


@dataclass(frozen=True, slots=True)
class ImageMasks:
    """An image's masks, all of its size; found ones surest first.

    `void`, pixels that no class was given to, overlaps no true mask.
    """

    size_hw: tuple[int, int]
    true: tuple[TrueMask, ...]
    found: tuple[FoundMask, ...] = field(default=())
    void: CocoRle | None = None

    @classmethod
    def of(
        cls,
        size_hw: tuple[int, int],
        true: Sequence[TrueMask],
        found: Sequence[FoundMask],
        void: CocoRle | None = None,
    ) -> ImageMasks:
        """Sorts what was found; of the same score in the order given."""
        surest_first = sorted(found, key=lambda mask: -mask.score)
        return cls(size_hw, tuple(true), tuple(surest_first), void)
