"""Tracks that may go on, and the frame in which they are looked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.masks import ObjectMask
from schemas.records import Float32Matrix, Float32Vector
from schemas.videos import FoundObject, Sighting, Track
from workers.videos.mask_patches import MaskPatch, cut_patch
from workers.videos.motion import Motion
from workers.videos.worth import keep_best_vectors, make_unit, measure_worth

_ROUNDING_S = 1e-6
_FEWEST_FOUND = 2


class OpenTrack:
    """A track that may go on. Its `number` is no other track's of the shot."""

    def __init__(self, number: int, time_s: float, found: FoundObject, patch: MaskPatch) -> None:
        self.number = number
        self.sightings: list[Sighting] = []
        self.vector_sum = np.zeros_like(found.vector)
        self.motion = Motion(time_s, found.mask, patch)
        self._note(time_s, found)

    def follow(self, time_s: float, found: FoundObject, patch: MaskPatch) -> None:
        """Go on in what was found in a later frame."""
        self.motion = self.motion.follow(time_s, found.mask, patch)
        self._note(time_s, found)

    def go_on_carried(self, time_s: float, mask: ObjectMask) -> None:
        """Go on in a mask that nothing but a video model has seen in a later frame.

        It has no vector, and never makes the key frame.
        """
        self.motion = self.motion.follow(time_s, mask, cut_patch(mask))
        self.sightings.append(Sighting(time_s, mask, 0.0))

    def _note(self, time_s: float, found: FoundObject) -> None:
        worth = measure_worth(found.mask)
        self.sightings.append(Sighting(time_s, found.mask, worth, found.vector))
        self.vector_sum = self.vector_sum + found.vector

    def find_mask(self, time_s: float) -> ObjectMask | None:
        """The mask that was found at this time, if it is the last one."""
        last = self.sightings[-1]
        return last.mask if last.time_s == time_s and last.vector is not None else None

    @property
    def mean(self) -> Float32Vector:
        return make_unit(self.vector_sum)

    def close(self, first_s: float) -> Track:
        """The track; what was carried of an object that was found but once is left out."""
        found = [each for each in self.sightings if each.vector is not None]
        kept = found if len(found) < _FEWEST_FOUND else self.sightings
        return Track(keep_best_vectors(kept, first_s), self.vector_sum)


class Frame:
    """The objects of a frame, and which of them no track has taken yet."""

    def __init__(self, time_s: float, since_s: float, objects: Sequence[FoundObject]) -> None:
        self.time_s, self.objects = time_s, objects
        self._since_s = since_s  # the frame before
        self.patches = [cut_patch(found.mask) for found in objects]
        self.free = list(range(len(objects)))

    def find_seen(self, tracks: Sequence[OpenTrack], within_s: float) -> list[OpenTrack]:
        """Those that were seen so short a time ago, or in the frame before."""
        longest_s = max(within_s, self._since_s) + _ROUNDING_S
        return [track for track in tracks if self.time_s - track.motion.time_s <= longest_s]

    def find_waiting(self, tracks: Sequence[OpenTrack]) -> list[OpenTrack]:
        """Those that do not go on in this frame yet."""
        return [track for track in tracks if track.motion.time_s < self.time_s]

    def give(self, place: int, track: OpenTrack) -> None:
        track.follow(self.time_s, self.objects[place], self.patches[place])
        self.free.remove(place)

    def stack_vectors(self) -> Float32Matrix:
        """Of the free objects."""
        return np.stack([self.objects[place].vector for place in self.free])
