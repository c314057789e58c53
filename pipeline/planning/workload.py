"""What is to be done, and by what: the two things besides speeds and prices that a plan needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from workers.indexes.location import IndexKind

TransferName = Literal["same-region", "other-region", "internet"]


@dataclass(frozen=True, slots=True)
class Workload:
    """Images of one kind: `image_bytes`, `megapixels` and `objects` are means of an image.

    `from_s3`: they are in a bucket, from which `transfer` says how far they have to go.
    """

    images: int
    image_bytes: float
    megapixels: float
    objects: float
    from_s3: bool = True
    transfer: TransferName = "same-region"

    @property
    def points(self) -> float:
        """Of all images: their objects, and one of each image as a whole."""
        return self.images * self.points_an_image

    @property
    def points_an_image(self) -> float:
        return self.objects + 1

    @property
    def pages(self) -> int:
        """Requests that list all images, a thousand each."""
        return math.ceil(self.images / 1000)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the work is spread: `machines`, and `workers` and `readers` of each.

    A runner `local` has no readers: its workers read what they work on. Each of `jobs` lists and
    writes for itself.
    """

    runner: Literal["ray", "local"]
    machines: int = 1
    workers: int = 1
    readers: int = 1
    read_concurrency: int = 8
    batch_size: int = 8
    jobs: int = 1

    @property
    def reads_at_once(self) -> int:
        """Requests that a reader has in flight for a chunk."""
        return min(self.read_concurrency, self.batch_size)


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What kind of index is written, and how many numbers a vector of it has."""

    kind: IndexKind
    dim: int
