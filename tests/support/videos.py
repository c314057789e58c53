"""Writes videos whose frames tell their numbers, and reads them back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from schemas.images import ImageRef, UInt8Image
from schemas.options import StoreOptions
from workers.stores.folder import find

SIZE_HW = (48, 64)
_BITS = 8
_DARK, _LIGHT = 110, 146
_QUIET = {
    "libx264": {"x264-params": "log-level=none"},
    "libx265": {"x265-params": "log-level=none"},
}


@dataclass(frozen=True)
class Drawn:
    """How a video is written. `ticks` are the times of its frames, in units of 1 / `base`.

    `sounds` are streams of silence, as long as the video or `sound_s`; `cover` is a JPEG.
    """

    container: str = "mp4"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    count: int = 20
    base: int = 10
    ticks: Sequence[int] | None = None
    size_hw: tuple[int, int] = SIZE_HW
    aspect: Fraction | None = None
    turn_degrees: int = 0
    sounds: int = 0
    sound_s: float | None = None
    has_film: bool = True
    cover: bytes = b""
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def times_s(self) -> list[float]:
        """Of its frames, since the first one."""
        ticks = range(self.count) if self.ticks is None else self.ticks
        return [(tick - ticks[0]) / self.base for tick in ticks]


def draw_number(number: int, size_hw: tuple[int, int] = SIZE_HW) -> UInt8Image:
    """A frame with `number` (8 bits) in stripes, light for 1, below them grey, and a red corner."""
    height, width = size_hw
    image = np.full((height, width, 3), 128, np.uint8)
    stripe = width // _BITS
    code = number ^ (number >> 1)  # Gray's: one stripe changes from frame to frame
    for bit in range(_BITS):
        level = _LIGHT if code >> bit & 1 else _DARK
        image[: height // 2, bit * stripe : (bit + 1) * stripe] = level
    image[height - height // 4 :, : width // 4] = (200, 40, 40)
    return image


def read_number(image: UInt8Image) -> int:
    """The number of an upright frame, of any size."""
    height, width, _ = image.shape
    row = image[height // 8 : height * 3 // 8].mean((0, 2))
    stripes = row[: width // _BITS * _BITS].reshape(_BITS, -1)[:, 1:-1].mean(1)
    threshold = (_DARK + _LIGHT) / 2
    code = sum(1 << bit for bit, level in enumerate(stripes) if level > threshold)
    number = 0
    while code:
        number, code = number ^ code, code >> 1
    return number


def write_video(drawn: Drawn = Drawn(), frames: Iterable[UInt8Image] | None = None) -> bytes:
    """The file; its frames are those of `draw_number` unless others are given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"  # an index is moved to the front of real files only
        with av.open(
            str(path), "w", format=drawn.container, options=dict(drawn.container_options)
        ) as output:
            _write_frames(output, drawn, frames)
        return path.read_bytes()


def _write_frames(output: Any, drawn: Drawn, frames: Iterable[UInt8Image] | None) -> None:
    covers = [_add_cover(output)] if drawn.cover else []
    films = [_add_video(output, drawn)] if drawn.has_film else []
    sounds = [output.add_stream("aac", rate=8000, layout="mono") for _ in range(drawn.sounds)]
    for cover in covers:
        packet = av.Packet(drawn.cover)
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = cover, 0, 0, True
        output.mux(packet)
    ticks = range(drawn.count) if drawn.ticks is None else drawn.ticks
    images = frames or (draw_number(k % 256, drawn.size_hw) for k in range(len(ticks)))
    for film in films:
        for tick, image in zip(ticks, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, drawn.base)
            output.mux(film.encode(frame))
        output.mux(film.encode(None))
    for sound in sounds:
        _add_silence(output, sound, drawn.sound_s or len(ticks) / drawn.base)


def _add_cover(output: Any) -> Any:
    stream = output.add_stream("mjpeg", rate=1)
    stream.height, stream.width = SIZE_HW
    stream.pix_fmt = "yuvj420p"
    stream.disposition = Disposition.attached_pic
    return stream


def _add_video(output: Any, drawn: Drawn) -> Any:
    stream = output.add_stream(drawn.codec, rate=drawn.base)
    stream.height, stream.width = drawn.size_hw
    stream.pix_fmt = drawn.pixel_format
    stream.codec_context.time_base = Fraction(1, drawn.base)
    stream.options = {**_QUIET.get(drawn.codec, {}), **drawn.options}
    if drawn.aspect is not None:
        stream.codec_context.sample_aspect_ratio = drawn.aspect
    if drawn.turn_degrees:
        stream.set_display_rotation(drawn.turn_degrees)
    return stream


def _add_silence(output: Any, stream: Any, length_s: float) -> None:
    for at in range(0, int(length_s * 8000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, at, Fraction(1, 8000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def stored(folder: Path, data: bytes, name: str = "video.mp4") -> ImageRef:
    """The listed file."""
    path = folder / name
    path.write_bytes(data)
    ref = find(ImageRef("file", "", str(path), "", 0), StoreOptions())
    assert ref is not None
    return ref


def find_box(data: bytes, *path: bytes) -> tuple[int, int]:
    """Where the content of an MP4's box begins and ends; the first one of each name."""
    start, end = 0, len(data)
    for name in path:
        start, end = next(_boxes(data, start, end, name))
    return start, end


def _boxes(data: bytes, start: int, end: int, name: bytes) -> Iterator[tuple[int, int]]:
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4])
        stop = start + size if size >= 8 else end
        if data[start + 4 : start + 8] == name:
            yield start + 8, stop
        start = stop
