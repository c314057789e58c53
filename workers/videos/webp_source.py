"""Decodes the frames of an animated WebP through Pillow: FFmpeg knows still ones only."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from schemas.errors import BadImageError, one_line
from schemas.options import DecodeOptions
from workers.videos.geometry import check_size
from workers.videos.stored_file import StoredFile
from workers.videos.stream_source import TimedFrame

_MS = 1000


class WebpSource:
    """The frames of an animation; see `StreamSource`. The file is held in memory as a whole."""

    aspect: Fraction | None = None
    rate = Fraction(10)
    lost_packets = 0
    broken: str | None = None
    told_end_s: float | None = None
    is_alone = True

    def __init__(self, file: StoredFile, options: DecodeOptions) -> None:
        """Raises BadImageError (without the uri)."""
        file.seek(0)
        self._data = file.read()
        self._options = options
        first = next(self.frames_from(0), None)
        if first is None:
            raise BadImageError("expected frames, got an animation without any")
        self.first = first

    def close(self) -> None:
        self._data = b""

    def has_packets_from(self, time_s: float) -> bool:
        return False

    def frames_from(self, time_s: float) -> Iterator[TimedFrame]:
        try:
            with Image.open(io.BytesIO(self._data), formats=("WEBP",)) as image:
                check_size(image.size, self._options)
                at_ms = 0
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    pixels = np.array(image.convert("RGBA"))
                    yield TimedFrame(at_ms / _MS, av.VideoFrame.from_ndarray(pixels, "rgba"))
                    at_ms += max(int(image.info.get("duration", 0)), 1)
        except (BadImageError, MemoryError):
            raise
        # Pillow's plugins raise nearly every built-in exception on hostile bytes.
        except Exception as exc:
            raise BadImageError(f"expected a whole animation, got: {one_line(exc)}") from exc
