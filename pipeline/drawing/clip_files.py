"""Encodes frames as an MP4 or an animated WebP file. The same frames give the same bytes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.drawing.clip import Frame
from schemas.errors import BadImageError
from schemas.images import UInt8Image

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_TICKS_A_SECOND = 1000
_STILL_S = 1.0  # how long a single frame is shown
_BT709 = 1
_LIMITED_RANGE = 1
# On one thread, as files else depend on how many there are; without B-frames times begin at 0.
_X264 = {"preset": "veryfast", "crf": "24", "threads": "1", "bf": "0"}
_MP4 = {"movflags": "faststart", "fflags": "bitexact"}
_WEBP = {"quality": 70, "method": 2, "loop": 0, "allow_mixed": False, "minimize_size": False}


def encode_mp4(frames: Iterable[Frame]) -> bytes:
    """H.264 in yuv420p, which every browser plays; an odd width or height has a pixel more.

    Its index comes first, so that it can be shown while it arrives. Raises BadImageError for no
    frames.
    """
    import av

    timed = _with_durations(frames)
    first = next(timed, None)
    if first is None:
        raise _no_frames()
    # The muxer opens what it writes a second time, to put the index first: it has to be a file.
    with tempfile.TemporaryDirectory(prefix="objseek-clip-") as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w", options=_MP4) as container:
            stream = container.add_stream("libx264", rate=Fraction(_TICKS_A_SECOND), options=_X264)
            height, width = _make_even(first[2]).shape[:2]
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            context = stream.codec_context
            context.time_base = Fraction(1, _TICKS_A_SECOND)
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE
            lengths: dict[int, int] = {}
            for at, lasts, pixels in chain([first], timed):
                frame = av.VideoFrame.from_ndarray(_make_even(pixels), format="rgb24")
                frame = frame.reformat(
                    format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
                )
                frame.pts, frame.duration = at, lasts
                frame.time_base = context.time_base
                lengths[at] = lasts
                container.mux(_set_lengths(stream.encode(frame), lengths))
            container.mux(_set_lengths(stream.encode(), lengths))
        return path.read_bytes()


def encode_webp(frames: Iterable[Frame]) -> bytes:
    """An animated WebP that begins anew at its end. Raises BadImageError for no frames."""
    timed = list(_with_durations(frames))
    if not timed:
        raise _no_frames()
    pictures = [Image.fromarray(pixels) for _, _, pixels in timed]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "WEBP", save_all=True, append_images=pictures[1:],
        duration=[lasts for _, lasts, _ in timed], **_WEBP,
    )  # fmt: skip
    return buffer.getvalue()


def _with_durations(frames: Iterable[Frame]) -> Iterator[tuple[int, int, UInt8Image]]:
    """When each frame begins, how long it lasts, both in milliseconds, and its pixels.

    The last one lasts as long as the one before.
    """
    source = iter(frames)
    first = next(source, None)
    if first is None:
        return
    start_s, lasts = first[0], round(_STILL_S * _TICKS_A_SECOND)
    at, pixels = 0, first[1]
    for time_s, following in source:
        until = max(round((time_s - start_s) * _TICKS_A_SECOND), at + 1)
        lasts = until - at
        yield at, lasts, pixels
        at, pixels = until, following
    yield at, lasts, pixels


def _set_lengths(
    packets: list[Packet[VideoStream]], lengths: dict[int, int]
) -> list[Packet[VideoStream]]:
    """The encoder forgets how long frames last, which of the last one nothing else says."""
    for packet in packets:
        if packet.pts is not None:
            packet.duration = lengths.pop(packet.pts, 0)
    return packets


def _make_even(pixels: UInt8Image) -> UInt8Image:
    """With even sides, of which one pixel of colour covers two by two."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _no_frames() -> BadImageError:
    return BadImageError("expected frames in this part of the video, got none")
