"""Reads single frames of videos again, to show what was found in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.errors import BadImageError
from schemas.images import DecodedImage, ImageRef, UInt8Image
from schemas.options import DecodeOptions, StoreOptions
from workers.videos.open_video import OpenedVideo, open_video
from workers.videos.stream_source import TimedFrame

# Times may have been rounded where they were kept.
_SLACK_S = 5e-4


def read_frame(
    ref: ImageRef, time_s: float, store: StoreOptions, decode: DecodeOptions
) -> DecodedImage:
    """The frame that is shown at `time_s`, or the next one if it is nearer than half a frame.

    Beyond the end it is the last frame. Raises BadImageError and StoreErrors as `open_video` does.
    """
    with open_video(ref, store, decode, animations=True) as video:
        return DecodedImage(ref, video.to_rgb(_find_frame(video, time_s)))


def read_frames(
    ref: ImageRef, times_s: Sequence[float], store: StoreOptions, decode: DecodeOptions
) -> Iterator[tuple[float, UInt8Image]]:
    """The frames at these times, which ascend and are those of frames: each with its time.

    uint8 (height, width, 3) sRGB, upright. The video is read once from the first to the last; one
    frame is held at a time. Raises as `read_frame`.
    """
    left = iter(times_s)
    wanted_s = next(left, None)
    if wanted_s is None:
        return
    with open_video(ref, store, decode, animations=True) as video:
        for frame in video.frames_from(wanted_s):
            if frame.time_s < wanted_s - _SLACK_S:
                continue
            yield wanted_s, video.to_rgb(frame)
            wanted_s = next(left, None)
            if wanted_s is None:
                return
    raise BadImageError(f"expected a frame at {wanted_s:.3f} s, got none ({ref.uri})")


def iterate_frames(
    ref: ImageRef,
    start_s: float,
    end_s: float,
    store: StoreOptions,
    decode: DecodeOptions,
    max_side_px: int,
) -> Iterator[tuple[float, UInt8Image]]:
    """Times and frames from `start_s` to `end_s`, both in it, no side longer than `max_side_px`.

    uint8 (height, width, 3) sRGB, upright. One frame is held at a time. Raises as `read_frame`.
    """
    with open_video(ref, store, decode, animations=True) as video:
        shape = video.shape.fit(max_side_px)
        for frame in video.frames_from(start_s):
            if frame.time_s > end_s + _SLACK_S:
                return
            if frame.time_s >= start_s - _SLACK_S:
                yield frame.time_s, video.to_rgb(frame, shape)


def _find_frame(video: OpenedVideo, time_s: float) -> TimedFrame:
    shown: TimedFrame | None = None
    for frame in video.frames_from(time_s):
        if frame.time_s > time_s:
            is_nearer = frame.time_s - time_s < min(
                video.frame_s / 2, time_s - shown.time_s if shown else float("inf")
            )
            return frame if is_nearer or shown is None else shown
        shown = frame
    if shown is None:
        raise BadImageError(f"expected a frame at {time_s:.3f} s, got none")
    return shown
