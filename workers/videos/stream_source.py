"""Decodes the frames of a video's stream through PyAV, from any time on, in the order of times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.packet import Packet
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from schemas.errors import BadImageError, one_line
from schemas.options import DecodeOptions
from workers.videos.containers import choose_stream, open_container
from workers.videos.stored_file import StoredFile

# Their frames have no times, or build on each other without any that is marked as key.
_FROM_THE_START = ("gif", "apng", "h264", "hevc", "m4v", "mpegvideo", "obu", "mjpeg")
_DEFAULT_RATE = Fraction(25)
# How much earlier than wanted is looked for a key frame that is early enough.
_BACK_S = (0.0, 1.0, 5.0, 30.0)
_LONGEST_GAP_S = 3600.0
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_MICROSECONDS = 1_000_000
# Some files have a few bytes behind it.
_GIF_TRAILER, _TAIL_BYTES = b";", 16


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A decoded frame, and when it is shown: seconds since the first one."""

    time_s: float
    image: VideoFrame


class StreamSource:
    """The frames of the video stream of one file.

    `first` is its first frame in the order of times. `lost_packets` counts what could not be
    decoded: it gives no frames, and the video goes on after it. `broken` is why the file could not
    be read to its end, None: it could so far.

    Times are what the file says of when a frame is shown (after edit lists), less that of the first
    frame. AVI says of B-frames only when they are decoded, which is taken for it. Raw streams say
    nothing: there frames follow each other at the file's rate, and are decoded from the start.
    """

    def __init__(self, file: StoredFile, options: DecodeOptions) -> None:
        """Raises BadImageError (without the uri), StoreErrors and PyAV's errors."""
        self._file = file
        self._options = options
        self.lost_packets = 0
        self.broken: str | None = None
        self._open()
        self.rate = self._find_rate()
        rest = self._decode()
        first = next(rest, None)
        if first is None:
            raise BadImageError(f"expected frames, got a video without any{self._why()}")
        self._by_dts = self._container.format.name == "avi" and self._has_b_frames()
        self._start = self._ticks(first)
        self.first = TimedFrame(0.0, first)
        self.aspect = self._stream.sample_aspect_ratio
        self.told_end_s = self._find_told_end()
        # What comes after the first frame, until something else is read.
        self._rest: Iterator[VideoFrame] | None = rest

    def close(self) -> None:
        self._container.close()

    def frames_from(self, time_s: float) -> Iterator[TimedFrame]:
        """Frames in the order of times, which differ; the first is at or before `time_s`.

        Begins at a key frame, or where the file has none that can be found, at its start.
        """
        if time_s > 0 and self._start is not None and not self._is_from_the_start():
            for back_s in _BACK_S:
                if time_s - back_s <= 0:
                    break
                frames = self._seek(time_s - back_s)
                found = next(frames, None)
                if found is not None and found.time_s <= time_s:
                    yield found
                    yield from frames
                    return
        if self._rest is None:
            self._open()
            yield from self._with_times(self._decode())
        else:
            rest, self._rest = self._rest, None
            yield from self._with_times(rest, self.first.image)

    def _open(self) -> None:
        self.broken = None
        self._container = open_container(self._file, self._options)
        self._stream = choose_stream(self._container, self._options)

    @property
    def _context(self) -> VideoCodecContext:
        return self._stream.codec_context

    def _is_from_the_start(self) -> bool:
        return self._container.format.name in _FROM_THE_START

    def _has_b_frames(self) -> bool:
        return bool(self._context.has_b_frames)

    def _find_rate(self) -> Fraction:
        for rate in (self._stream.average_rate, self._stream.guessed_rate):
            if rate is not None and 0 < rate <= 1000:
                return rate
        return _DEFAULT_RATE

    def _decode(self) -> Iterator[VideoFrame]:
        """Frames as the decoder gives them, until the file ends or cannot be read any more."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as exc:
                self._raise_stored_error()
                self.broken = one_line(exc.strerror or exc)
                packet = None
            if packet is None:
                break
            if packet.has_sidedata("encryption_info"):
                raise BadImageError("expected a video that can be decoded, got an encrypted one")
            yield from self._decode_packet(packet)
        self._raise_stored_error()
        if self.broken is None and self._container.format.name == "gif" and not self._has_trailer():
            self.broken = "its end is missing"
        if self.broken:
            yield from self._decode_packet(None)

    def _has_trailer(self) -> bool:
        self._file.seek(max(self._file.size_bytes - _TAIL_BYTES, 0))
        return _GIF_TRAILER in self._file.read()

    def _decode_packet(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        try:
            frames = self._context.decode(packet)
        except av.error.EOFError:
            return
        except av.FFmpegError as exc:
            if isinstance(exc, MemoryError):
                raise
            self.lost_packets += 1
            return
        for frame in frames:
            if frame.is_corrupt:
                self.lost_packets += 1
            else:
                yield frame

    def _raise_stored_error(self) -> None:
        if self._file.error is not None:
            raise self._file.error

    def _seek(self, time_s: float) -> Iterator[TimedFrame]:
        """Frames from the first key frame on that seeking to a time leads to; none if it fails."""
        base = self._stream.time_base
        if base is None or self._start is None:
            return
        ticks = self._start + int(Fraction(time_s) / base)
        self._rest = None
        try:
            self._container.seek(ticks, stream=self._stream)
        except av.FFmpegError:
            self._raise_stored_error()
            return
        frames, lost = self._decode(), self.lost_packets
        # Before it come frames that build on what has not been decoded.
        for frame in frames:
            if frame.key_frame:
                self.lost_packets = lost
                if self._ticks(frame) is not None:
                    yield from self._with_times(frames, frame)
                return

    def _with_times(
        self, frames: Iterator[VideoFrame], first: VideoFrame | None = None
    ) -> Iterator[TimedFrame]:
        last_s: float | None = None
        while (frame := first or next(frames, None)) is not None:
            first = None
            time_s = self._time_of(frame, last_s)
            if last_s is not None and time_s > last_s + _LONGEST_GAP_S:
                raise BadImageError(
                    f"expected frames less than an hour apart, got one at {last_s:.1f} s and the "
                    f"next at {time_s:.1f} s"
                )
            if last_s is None or time_s > last_s:
                last_s = time_s
                yield TimedFrame(time_s, frame)

    def _time_of(self, frame: VideoFrame, last_s: float | None) -> float:
        ticks, base = self._ticks(frame), self._stream.time_base
        if ticks is not None and self._start is not None and base is not None:
            return float((ticks - self._start) * base)
        return 0.0 if last_s is None else last_s + float(1 / self.rate)

    def _ticks(self, frame: VideoFrame) -> int | None:
        return frame.dts if self._by_dts else frame.pts

    def _why(self) -> str:
        if self.broken:
            return f": {self.broken}"
        return ": none could be decoded" if self.lost_packets else ""

    def _find_told_end(self) -> float | None:
        """Seconds since the first frame after which the video ends by what the file says."""
        stream, base = self._stream, self._stream.time_base
        start_s = float((self._start or 0) * base) if base is not None else 0.0
        told = _CLOCK.match(stream.metadata.get("DURATION", ""))
        if stream.duration and base is not None:
            end_s = float(((stream.start_time or 0) + stream.duration) * base)
        elif told is not None:
            end_s = int(told[1]) * 3600 + int(told[2]) * 60 + float(told[3])
        elif self._container.duration and self._container.duration > 0:
            end_s = self._container.duration / _MICROSECONDS
        else:
            return None
        return end_s - start_s if end_s > start_s else None

    def has_packets_from(self, time_s: float) -> bool:
        """Whether any stream of the file, such as its sound, has something at or after a time."""
        self._open()
        for other in self._container.streams:
            other.discard = Discard.default
        start_s = float((self._start or 0) * (self._stream.time_base or 0))
        try:
            self._container.seek(int(max(time_s + start_s - 1, 0) * _MICROSECONDS))
            for packet in self._container.demux():
                at = packet.pts if packet.pts is not None else packet.dts
                if at is not None and float(at * packet.time_base) - start_s >= time_s:
                    return True
        except av.FFmpegError:
            self._raise_stored_error()
        return False

    @property
    def is_alone(self) -> bool:
        """Whether what the file says of its end is about this stream alone."""
        stream = self._stream
        is_told = bool(stream.duration) or "DURATION" in stream.metadata
        return is_told or len(self._container.streams) == 1
