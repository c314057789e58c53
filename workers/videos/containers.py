"""Opens files with FFmpeg: a closed list of formats, and limits before anything is decoded."""

from __future__ import annotations

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from schemas.errors import BadImageError, one_line
from schemas.options import DecodeOptions
from workers.videos.geometry import check_size
from workers.videos.stored_file import StoredFile

# Others open further files by names that stand in them, or begin like anything.
_DEMUXERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,gif,apng,h264,hevc,m4v,ivf,obu,"
    "mxf,nut,rm,dv,mjpeg,mp3,flac,wav,aac,aiff"
)
_NO_FILMS = Disposition.attached_pic | Disposition.timed_thumbnails


def open_container(file: StoredFile, options: DecodeOptions) -> InputContainer:
    """The container of a file. Raises BadImageError (without the uri), MemoryError, StoreErrors."""
    file.seek(0)
    try:
        return av.open(
            file, "r",
            options=_limits(options),
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"},
            metadata_errors="replace",
        )  # fmt: skip
    except av.FFmpegError as exc:
        if file.error is not None:
            raise file.error from exc
        if isinstance(exc, MemoryError):
            raise
        file.seek(0)
        is_iso = file.read(8)[4:] == b"ftyp"
        hint = "; if it has been cut off, the index at its end is missing" if is_iso else ""
        raise BadImageError(
            "expected a video, got a file that FFmpeg cannot read as one: "
            f"{one_line(exc.strerror or exc)}{hint}"
        ) from exc


def choose_stream(container: InputContainer, options: DecodeOptions) -> VideoStream:
    """The stream that is the video, with its limits set; nothing is read of the others.

    The first one that is a film and can be decoded, those marked as default before others. It is
    decoded in one thread. Raises BadImageError (without the uri).
    """
    films = [s for s in container.streams.video if not s.disposition & _NO_FILMS]
    if not films:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
        raise BadImageError(f"expected a video, got a file without one: its streams are {kinds}")
    known = [stream for stream in films if stream.codec_context is not None]
    if not known:
        raise BadImageError("expected a video that can be decoded, got one of an unknown codec")
    chosen = max(known, key=lambda stream: bool(stream.disposition & Disposition.default))
    context = chosen.codec_context
    if context.width and context.height:
        check_size((context.width, context.height), options)
    context.thread_type = "NONE"
    context.thread_count = 1
    context.options = _limits(options)
    for other in container.streams:
        if other.index != chosen.index:
            other.discard = Discard.all
    return chosen


def _limits(options: DecodeOptions) -> dict[str, str]:
    return {"max_pixels": str(options.max_pixels), "threads": "1"}
