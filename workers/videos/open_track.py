"""Follows one object through frames, and has the best of them embedded in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.masks import ObjectMask
from schemas.records import Float32Vector
from schemas.videos import Track
from workers.videos.mask_patches import cut_patch
from workers.videos.motion import Motion
from workers.videos.seen_object import EmbedMasks, SeenObject
from workers.videos.worth import make_unit

_EMBEDDED = 3
"""Sightings of each track, in a piece of a shot."""
_FEWEST_FOUND = 2


class OpenTrack:
    """A track that may go on. Its `number` is no other track's of the shot."""

    def __init__(self, number: int, seen: SeenObject) -> None:
        self.number = number
        self.seen = [seen]
        self.motion = Motion(seen.time_s, seen.mask, seen.patch)
        self._colour_sum = seen.colours

    def follow(self, seen: SeenObject) -> None:
        """Go on in what was found in a later frame."""
        self.seen.append(seen)
        self.motion = self.motion.follow(seen.time_s, seen.mask, seen.patch)
        self._colour_sum = self._colour_sum + seen.colours

    def go_on_carried(self, time_s: float, mask: ObjectMask) -> None:
        """Go on in a mask that nothing but a video model has seen in a later frame.

        It is not embedded, and never makes the key frame.
        """
        patch = cut_patch(mask)
        self.motion = self.motion.follow(time_s, mask, patch)
        self.seen.append(SeenObject(time_s, mask, patch, self.colours, worth=0.0, carried=True))

    def find_mask(self, time_s: float) -> ObjectMask | None:
        """The mask that was found at this time, if it is the last one."""
        last = self.seen[-1]
        return last.mask if last.time_s == time_s and not last.carried else None

    @property
    def colours(self) -> Float32Vector:
        """The unit mean of what it was seen in."""
        return make_unit(self._colour_sum)

    def find_best(self) -> list[SeenObject]:
        """The few sightings that show it best."""
        return sorted(self._found, key=lambda each: (-each.worth, each.time_s))[:_EMBEDDED]

    @property
    def _found(self) -> list[SeenObject]:
        return [each for each in self.seen if not each.carried]

    def close(self) -> Track:
        """The track, whose best sightings have been embedded.

        What was carried of an object that was found but once is left out.
        """
        kept = self._found if len(self._found) < _FEWEST_FOUND else self.seen
        sightings = tuple(each.to_sighting() for each in kept)
        total = np.stack([each.vector for each in sightings if each.vector is not None]).sum(axis=0)
        return Track(sightings, total)


def embed_best(tracks: Sequence[OpenTrack], embed: EmbedMasks) -> None:
    """Have the best sightings of each track embedded."""
    # At once, as a model takes several crops in less time than one after the other.
    best = [seen for track in tracks for seen in track.find_best()]
    vectors = embed([(seen.time_s, seen.mask) for seen in best])
    for seen, vector in zip(best, vectors, strict=True):
        seen.vector = vector
