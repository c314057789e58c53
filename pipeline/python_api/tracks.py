"""Reads what is kept of an object of a video: its masks through time, and the frames of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.index_home import IndexHome
from pipeline.search.source_images import image_ref
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.payload import PointPayload
from schemas.videos import Sighting
from workers.stores.selection import NO_VIDEO_READER, can_read_videos

# Times of points have been rounded.
_SLACK_S = 1e-5


def read_sightings(payload: PointPayload, settings: Settings) -> list[Sighting]:
    """The masks of an object in all frames in which it was seen, by their times.

    Raises UsageError for what is no object of a video, and what `TrackFiles.read` raises.
    """
    if payload.t_key is None or payload.kind != "object":
        whole = "a whole shot" if payload.t_key is not None else "what is in an image"
        raise UsageError(f"expected an object of a video, got {whole} ({payload.uri})")
    tracks = IndexHome.current(settings).manifest.tracks
    return tracks.read(payload.image_id, payload.generation, payload.ordinal)


def find_nearest(sightings: Sequence[Sighting], time_s: float) -> Sighting:
    """The one nearest to a time between the first and the last, of two as near the earlier.

    Raises UsageError for another time.
    """
    start_s, end_s = sightings[0].time_s, sightings[-1].time_s
    if not start_s - _SLACK_S <= time_s <= end_s + _SLACK_S:
        raise UsageError(f"expected a time from {start_s:g} to {end_s:g} s, got {time_s:g}")
    return min(sightings, key=lambda each: abs(each.time_s - time_s))


def read_sighted_frames(
    payload: PointPayload, sightings: Sequence[Sighting], settings: Settings
) -> Iterator[tuple[float, UInt8Image]]:
    """The frames of sightings, read again in the version that was indexed.

    Raises UsageError where what reads videos is not installed, BadImageError and StoreErrors.
    """
    if not can_read_videos():
        raise UsageError(f"{payload.uri} is {NO_VIDEO_READER}")
    # Its library is an extra.
    from workers.videos.read_frame import read_frames

    times_s = [sighting.time_s for sighting in sightings]
    yield from read_frames(image_ref(payload), times_s, settings.store, settings.decode)
