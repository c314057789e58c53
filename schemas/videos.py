"""Videos on their way through a job: pieces, the frames that are looked at, and what is tracked.

Times are seconds since a video's first frame, by what it says of when its frames are shown. A
video is looked at in steps of `1 / fps`: the frame of a step is the first one at or after its time.
Pieces of equally many steps share the frame between them, by which the tracks of one piece are
joined with those of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.images import ImageRef, UInt8Image
from schemas.masks import ObjectMask
from schemas.records import Float32Vector
from schemas.thumbnails import Thumbnail

TRACKER = "tracker 2"
"""Of the fingerprints of videos: another where the same frames would give other tracks."""
MOST_STEPS = 32
"""Of a piece: a model is at it for as long as at so many images."""


@dataclass(frozen=True, slots=True)
class VideoPiece:
    """The piece of a video from step `number * steps` to step `(number + 1) * steps`, both in it.

    `steps` None, of the first piece only: as many as its reader finds to be right for the video.
    """

    ref: ImageRef
    number: int = 0
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video is like. `size_hw` is that of its frames, upright and with square pixels.

    `duration_s` is what the file says, None: nothing. `notes` are sentences that a user should
    read, such as that its colours were converted.
    """

    size_hw: tuple[int, int]
    duration_s: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SampledFrame:
    """A frame that is looked at. `pixels` uint8 (height, width, 3) sRGB, upright."""

    time_s: float
    pixels: UInt8Image


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPiece:
    """A piece that has been read; the `steps` of `piece` are known.

    `frames` in the order of their times, which differ. `cuts_s` are the times of the first frames
    of shots, after the piece's first frame and up to its last one: every cut of a video is told by
    one piece. `is_last`: the video ends in it.
    """

    piece: VideoPiece
    info: VideoInfo
    frames: tuple[SampledFrame, ...]
    cuts_s: tuple[float, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object of a track in one frame.

    `worth` says how well the frame shows it, for the choice of key frames; `vector`, a unit, is
    there of a few of the best frames of a track alone.
    """

    time_s: float
    mask: ObjectMask
    worth: float
    vector: Float32Vector | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Track:
    """An object through frames of one shot, or of a piece of it, in the order of their times.

    `vector_sum` is the sum of the unit vectors of those sightings that were embedded. `thumbnail`
    is of its best frame, None: none is made.
    """

    sightings: tuple[Sighting, ...]
    vector_sum: Float32Vector = field(hash=False)
    thumbnail: Thumbnail | None = field(default=None, compare=False)

    @property
    def start_s(self) -> float:
        return self.sightings[0].time_s

    @property
    def end_s(self) -> float:
        return self.sightings[-1].time_s

    @property
    def best(self) -> Sighting:
        """The sighting that shows the object best."""
        return max(self.sightings, key=lambda each: each.worth)


@dataclass(frozen=True, slots=True)
class ShotPart:
    """A shot, or what of it lies in a piece.

    `times_s` are those of its frames. `vector_sum` is the sum of the unit vectors of the frames as
    wholes, judged by a few of them; `typical_s` is that of these whose vector is nearest to it,
    with its vector and thumbnail.
    """

    times_s: tuple[float, ...]
    vector_sum: Float32Vector = field(hash=False)
    typical_s: float
    typical_vector: Float32Vector = field(hash=False)
    typical_thumbnail: Thumbnail | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TrackedPiece:
    """What became of a piece: of each shot in it its frames, and its tracks.

    The first shot may go on from the piece before, and the last one in the next.
    """

    piece: VideoPiece
    info: VideoInfo
    shots: tuple[ShotPart, ...]
    tracks: tuple[tuple[Track, ...], ...]
    is_last: bool

    @property
    def ref(self) -> ImageRef:
        return self.piece.ref


@dataclass(frozen=True, slots=True)
class Shot:
    """A whole shot with its tracks, in the order of their first frames, larger ones first."""

    part: ShotPart
    tracks: Sequence[Track]
