"""The frame of a shot in which tracks are looked for."""

from __future__ import annotations

from collections.abc import Sequence

from workers.videos.open_track import OpenTrack
from workers.videos.seen_object import SeenObject

_ROUNDING_S = 1e-6


class OpenFrame:
    """The objects of a frame, and which of them no track has taken yet."""

    def __init__(self, time_s: float, since_s: float, objects: Sequence[SeenObject]) -> None:
        self.time_s, self.objects = time_s, objects
        self._since_s = since_s  # the frame before
        self.free = list(range(len(objects)))

    def find_seen(self, tracks: Sequence[OpenTrack], within_s: float) -> list[OpenTrack]:
        """Those that were seen so short a time ago, or in the frame before."""
        longest_s = max(within_s, self._since_s) + _ROUNDING_S
        return [track for track in tracks if self.time_s - track.motion.time_s <= longest_s]

    def find_waiting(self, tracks: Sequence[OpenTrack]) -> list[OpenTrack]:
        """Those that do not go on in this frame yet."""
        return [track for track in tracks if track.motion.time_s < self.time_s]

    def give(self, place: int, track: OpenTrack) -> None:
        track.follow(self.objects[place])
        self.free.remove(place)
