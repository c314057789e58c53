"""What goes to workers and comes from them: images, pieces of videos, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.added import AddedObject
from schemas.images import Decoded, ImageRef
from schemas.masks import KnownObjects
from schemas.records import EmbeddedImage, Result
from schemas.videos import MOST_STEPS, DecodedPiece, TrackedPiece, VideoPiece

Source = ImageRef | VideoPiece | EmbeddedImage
"""What is read: an image, a piece of a video, or a video as its pieces have been put together."""
Readable = Decoded | DecodedPiece | EmbeddedImage
"""What reading a source ends in."""
Worked = Result | TrackedPiece
"""What work on it ends in."""


def only_final(worked: Sequence[Worked]) -> list[Result]:
    """The results of images and whole videos."""
    return [each for each in worked if not isinstance(each, TrackedPiece)]


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A listed image to be worked on. One whose masks are known is not segmented.

    `added` are objects that were added to it by hand, in this version or in others. Of a video,
    `video` is the piece that is to be tracked, or all of it that is to be labelled.
    """

    ref: ImageRef
    known: KnownObjects = None
    added: tuple[AddedObject, ...] = ()
    video: VideoPiece | EmbeddedImage | None = None

    @property
    def source(self) -> Source:
        """What is to be read."""
        return self.ref if self.video is None else self.video

    @property
    def frames(self) -> int:
        """How many images this is as much work as, at most."""
        if not isinstance(self.video, VideoPiece):
            return 1
        return (self.video.steps or MOST_STEPS) + 1
