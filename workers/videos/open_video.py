"""Opens a stored video: says what it is like, and refuses what is none, in one sentence."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol

import av

from schemas.errors import BadImageError, one_line
from schemas.images import ImageRef, UInt8Image
from schemas.options import DecodeOptions, StoreOptions
from schemas.videos import VideoInfo
from workers.images.formats import find_format, with_article
from workers.videos.colours import HDR_NOTE, FrameConverter, is_hdr
from workers.videos.geometry import FrameShape, check_size, find_shape
from workers.videos.stored_file import StoredFile, open_stored
from workers.videos.stream_source import StreamSource, TimedFrame
from workers.videos.webp_source import WebpSource

_HEAD_BYTES = 512
_ANIMATIONS = ("GIF", "WEBP")
_GIF_SIZE = slice(6, 10)


class FrameSource(Protocol):
    """What decodes a file; see `StreamSource`."""

    first: TimedFrame
    told_end_s: float | None
    lost_packets: int
    broken: str | None

    def frames_from(self, time_s: float) -> Iterator[TimedFrame]: ...

    def has_packets_from(self, time_s: float) -> bool: ...

    @property
    def is_alone(self) -> bool: ...


class OpenedVideo:
    """See `open_video`. `info` is what it is like, `frame_s` a frame's usual time."""

    def __init__(
        self, source: StreamSource | WebpSource, file: StoredFile, options: DecodeOptions
    ) -> None:
        self.source: FrameSource = source
        self.file = file
        self._converter = FrameConverter(options.alpha_background)
        first = source.first.image
        self.shape = find_shape(first, source.aspect)
        check_size(self.shape.scaled_wh, options)
        self.frame_s = float(1 / source.rate)
        notes = (HDR_NOTE,) if is_hdr(first) else ()
        self.info = VideoInfo(self.shape.size_hw, source.told_end_s, notes)

    def frames_from(self, time_s: float) -> Iterator[TimedFrame]:
        """Frames in the order of times, which differ; the first is at or before `time_s`."""
        return self.source.frames_from(time_s)

    def to_rgb(self, frame: TimedFrame, shape: FrameShape | None = None) -> UInt8Image:
        """uint8 (*size_hw, 3) sRGB, upright with square pixels; `shape`: of another size."""
        wanted = shape or self.shape
        return wanted.turn.apply(self._converter.to_rgb(frame.image, wanted.scaled_wh))


@contextmanager
def open_video(
    ref: ImageRef, store: StoreOptions, decode: DecodeOptions, *, animations: bool
) -> Iterator[OpenedVideo]:
    """The video of `ref`; what is wrong with it is raised in the block as BadImageError.

    `animations`: a GIF or WebP is a video. Raises StoreErrors as `open_stored` does.
    """
    with open_stored(ref, store) as file, _raising_errors(file, ref.uri):
        kind = _check_kind(file, animations, decode)
        source = WebpSource(file, decode) if kind == "WEBP" else StreamSource(file, decode)
        with closing(source):
            yield OpenedVideo(source, file, decode)


@contextmanager
def _raising_errors(file: StoredFile, uri: str) -> Iterator[None]:
    try:
        yield
    except BadImageError as exc:
        raise BadImageError(f"{exc} ({uri})") from exc.__cause__
    except av.FFmpegError as exc:
        if file.error is not None:
            raise file.error from exc
        if isinstance(exc, MemoryError):
            raise
        reason = one_line(exc.strerror or exc)
        raise BadImageError(f"expected a whole video, got: {reason} ({uri})") from exc


def _check_kind(file: StoredFile, animations: bool, options: DecodeOptions) -> str | None:
    """Which image format the file is of, None: it may be a video."""
    head = file.read(_HEAD_BYTES)
    if not head:
        raise BadImageError("expected a video, got zero bytes")
    kind = find_format(head)
    if kind == "GIF" and animations and len(head) >= _GIF_SIZE.stop:
        # FFmpeg tells no size of one beyond the limits.
        check_size(struct.unpack("<HH", head[_GIF_SIZE]), options)
    if kind is None or (animations and kind in _ANIMATIONS):
        return kind
    hint = ": `store.animations` takes it for one" if kind in _ANIMATIONS else ""
    raise BadImageError(f"expected a video, got {with_article(kind)}{hint}")
