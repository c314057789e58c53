"""Counts of a run: images by what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict

from schemas.images import Failure
from schemas.records import EmbeddedImage


class IngestCounts(BaseModel):
    """Images by what became of them, and the objects of those that are done.

    Each image that was handled is in exactly one of `done`, `rejected`, `failed` and `gone`.
    `unchanged` images were dealt with by an earlier run. `all_listed`: `listed` grows no more. A
    video counts as an image; `videos` are those among the images that are done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    listed: int = 0
    all_listed: bool = False
    unchanged: int = 0
    done: int = 0
    rejected: int = 0
    failed: int = 0
    gone: int = 0
    objects: int = 0
    videos: int = 0

    @classmethod
    def add_up(cls, counts: Sequence[IngestCounts]) -> Self:
        """Those of several runs together; all is listed when each has listed all."""
        numbers = cls.model_fields.keys() - {"all_listed"}
        sums = {name: sum(getattr(each, name) for each in counts) for name in numbers}
        return cls(**sums, all_listed=all(each.all_listed for each in counts))

    @property
    def noun(self) -> str:
        """What is counted: images, or, since a video has come, images and videos."""
        return "images and videos" if self.videos else "images"

    @property
    def rate_noun(self) -> str:
        """What a rate is of: each frame of a video that is looked at counts as an image."""
        return "images and frames" if self.videos else "images"

    @property
    def handled(self) -> int:
        """Images that were worked on, whatever came of it."""
        return self.done + self.rejected + self.failed + self.gone

    def plus(self, **numbers: int) -> Self:
        """These counts with numbers added to the fields that are named."""
        return self.model_copy(
            update={name: getattr(self, name) + number for name, number in numbers.items()}
        )

    def plus_results(self, results: Iterable[EmbeddedImage | Failure]) -> Self:
        """These counts with the results of images that have been written."""
        added = dict.fromkeys(("done", "rejected", "failed", "gone", "objects", "videos"), 0)
        for result in results:
            if isinstance(result, EmbeddedImage):
                added["done"] += 1
                added["objects"] += len(result.objects)
                added["videos"] += result.shots > 0
            elif result.rejected:
                added["rejected"] += 1
            elif result.gone:
                added["gone"] += 1
            else:
                added["failed"] += 1
        return self.plus(**added)

    def check_complete(self) -> None:
        """Hold at the end of a run that came to its end: no image is lost or counted twice."""
        if self.listed != self.handled + self.unchanged:
            raise AssertionError(f"the counts do not add up: {self}")
