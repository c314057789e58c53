"""Follows one object through frames, and has the best of them embedded in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.records import Float32Vector
from schemas.videos import Track
from workers.videos.motion import Motion
from workers.videos.seen_object import EmbedMasks, SeenObject
from workers.videos.worth import make_unit

_EMBEDDED = 3
"""Sightings of each track, in a piece of a shot."""


class OpenTrack:
    """A track that may go on."""

    def __init__(self, seen: SeenObject) -> None:
        self.seen = [seen]
        self.motion = Motion(seen.time_s, seen.mask, seen.patch)
        self._colour_sum = seen.colours

    def follow(self, seen: SeenObject) -> None:
        self.seen.append(seen)
        self.motion = self.motion.follow(seen.time_s, seen.mask, seen.patch)
        self._colour_sum = self._colour_sum + seen.colours

    @property
    def colours(self) -> Float32Vector:
        """The unit mean of what it was seen in."""
        return make_unit(self._colour_sum)

    def find_best(self) -> list[SeenObject]:
        """The few sightings that show it best."""
        return sorted(self.seen, key=lambda each: (-each.worth, each.time_s))[:_EMBEDDED]

    def close(self) -> Track:
        """The track, whose best sightings have been embedded."""
        sightings = tuple(each.to_sighting() for each in self.seen)
        total = np.stack([each.vector for each in sightings if each.vector is not None]).sum(axis=0)
        return Track(sightings, total)


def embed_best(tracks: Sequence[OpenTrack], embed: EmbedMasks) -> None:
    """Have the best sightings of each track embedded."""
    # At once, as a model takes several crops in less time than one after the other.
    best = [seen for track in tracks for seen in track.find_best()]
    vectors = embed([(seen.time_s, seen.mask) for seen in best])
    for seen, vector in zip(best, vectors, strict=True):
        seen.vector = vector
