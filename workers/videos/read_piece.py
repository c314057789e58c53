"""Reads a piece of a video: the frames that are looked at, and where its shots begin."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.errors import BadImageError
from schemas.images import UInt8Image
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import MOST_STEPS, DecodedPiece, SampledFrame, VideoInfo, VideoPiece
from workers.videos.cuts import CONTEXT_S, find_cuts
from workers.videos.more_frames import choose_more_frames
from workers.videos.open_video import OpenedVideo, open_video
from workers.videos.small_frames import SmallFrames

LONGEST_PIECE_S = 16.0
MOST_PIXEL_BYTES = 192 << 20
# Of these, what frames of steps may take; the rest is for those between them.
_STEPS_SHARE = 0.75
_EPSILON_S = 1e-6
# Of faster videos some frames are left out of what cuts are found in.
_MOST_A_S = 125
# A video that ends this much earlier than it says is taken for whole.
_TOLERANCE_S = 1.0
_TOLERANCE_SHARE = 0.02


def read_piece(
    piece: VideoPiece, store: StoreOptions, decode: DecodeOptions, video: VideoOptions
) -> DecodedPiece:
    """The piece with its frames and cuts; none beyond the end of the video, which is `is_last`.

    Of each step the first frame at or after its time. Between two of them that are of one shot,
    also the frame that differs most from both, if it does so by more than they do from each other
    and clearly (see `more_frames`); and of a shot without any frame its middle one. What is read
    does not depend on how the video is cut into pieces, but for frames between steps for which
    there is no room: a piece holds at most 192 MiB of pixels, or two frames.

    Packets that cannot be decoded give no frames: a step takes the next frame there is, and `notes`
    say so. A video that ends more than 1 s and 2% (and the longest time between its frames) before
    it says it does, or that cannot be read to its end, is refused unless
    `video.accept_truncated`.

    Raises BadImageError; ObjectGoneError, ObjectChangedError, StoreAccessError,
    StoreUnavailableError; and MemoryError where there is not enough, which is also what FFmpeg says
    of damaged headers that ask for too much.
    """
    with open_video(piece.ref, store, decode, animations=store.animations) as opened:
        steps = piece.steps or _choose_steps(opened.info, video.fps)
        piece = replace(piece, steps=steps)
        read = _read_steps(opened, piece.number * steps, steps, video.fps)
        if not piece.number and not read.rows:
            raise BadImageError("expected frames, got none that can be decoded")
        info = _check_end(opened, read, video) if read.has_ended else opened.info
        cuts = read.find_cuts()
        _read_more(opened, read, cuts)
        if opened.source.lost_packets:
            info = replace(info, notes=(*info.notes, "some of its frames could not be decoded"))
    frames = tuple(SampledFrame(time_s, read.pixels[time_s]) for time_s in sorted(read.pixels))
    times = read.small.times_s
    return DecodedPiece(piece, info, frames, tuple(times[cut] for cut in cuts), read.is_last)


@dataclass(slots=True)
class _Reading:
    """What has been read: small frames of the piece and around it, and full ones of its steps.

    `rows` are the steps' frames among the small ones. `has_ended`: the video ends in what was read.
    """

    small: SmallFrames = field(default_factory=SmallFrames)
    rows: list[int] = field(default_factory=list)
    pixels: dict[float, UInt8Image] = field(default_factory=dict)
    has_all_steps: bool = False
    has_ended: bool = False

    @property
    def is_last(self) -> bool:
        """Whether no frame comes after the piece's last one."""
        last = len(self.small.times_s) - 1
        return self.has_ended and (not self.has_all_steps or self.rows[-1] == last)

    def find_cuts(self) -> list[int]:
        """Rows of the first frames of shots, after the piece's first frame and within it."""
        if not self.rows:
            return []
        first, last = self.rows[0], self.rows[-1]
        if self.is_last:
            last = len(self.small.times_s) - 1
        cuts = find_cuts(np.array(self.small.times_s), self.small.stack())
        return [cut for cut in cuts if first < cut <= last]


def _choose_steps(info: VideoInfo, fps: float) -> int:
    height, width = info.size_hw
    most_frames = int(MOST_PIXEL_BYTES * _STEPS_SHARE) // (3 * height * width)
    return max(1, min(math.floor(LONGEST_PIECE_S * fps), MOST_STEPS, most_frames - 1))


def _read_steps(opened: OpenedVideo, first_step: int, steps: int, fps: float) -> _Reading:
    read, due, last_step = _Reading(), first_step, first_step + steps
    begin_s, end_s = first_step / fps - CONTEXT_S, math.inf
    slot = -1
    for frame in opened.frames_from(begin_s):
        if frame.time_s > end_s:
            return read
        before, slot = slot, math.floor(frame.time_s * _MOST_A_S)
        is_due = due <= last_step and frame.time_s >= due / fps - _EPSILON_S
        if frame.time_s < begin_s or (slot == before and not is_due):
            continue
        read.small.append(frame)
        if is_due:
            read.rows.append(len(read.small.times_s) - 1)
            read.pixels[frame.time_s] = opened.to_rgb(frame)
            due = max(due, math.floor((frame.time_s + _EPSILON_S) * fps)) + 1
            if due > last_step:
                read.has_all_steps, end_s = True, frame.time_s + CONTEXT_S
    read.has_ended = True
    return read


def _read_more(opened: OpenedVideo, read: _Reading, cuts: list[int]) -> None:
    """Add frames between those of steps; they are known only once all has been seen."""
    if not read.rows:
        return
    height, width = opened.info.size_hw
    room = MOST_PIXEL_BYTES // (3 * height * width) - len(read.rows)
    end = len(read.small.times_s) if read.is_last else read.rows[-1] + 1
    rows = choose_more_frames(read.small.stack(), read.rows, cuts, end, room)
    wanted = {read.small.times_s[row] for row in rows}
    if not wanted:
        return
    for frame in opened.frames_from(min(wanted)):
        if frame.time_s in wanted:
            read.pixels[frame.time_s] = opened.to_rgb(frame)
        if frame.time_s >= max(wanted):
            return


def _check_end(opened: OpenedVideo, read: _Reading, options: VideoOptions) -> VideoInfo:
    """What the video is like, now that its end has been read. Raises BadImageError."""
    source, info, told_s = opened.source, opened.info, opened.info.duration_s
    times = read.small.times_s or [source.first.time_s]
    gap_s = max([opened.frame_s, *np.diff(times).tolist()])
    end_s = times[-1] + opened.frame_s
    reason = source.broken
    if reason is None:
        slack_s = _TOLERANCE_S + gap_s + _TOLERANCE_SHARE * (told_s or 0)
        if told_s is None or not read.small.times_s or end_s >= told_s - slack_s:
            return info
        if not source.is_alone and source.has_packets_from(told_s - slack_s):
            return info  # its sound goes on
        reason = "the file ends there"
    told = "a whole video" if told_s is None else f"{told_s:.1f} s of video"
    if options.accept_truncated:
        note = f"it is truncated: {told} was expected, and {end_s:.1f} s came"
        return replace(info, notes=(*info.notes, note))
    raise BadImageError(f"expected {told}, got {end_s:.1f} s: {reason}")
