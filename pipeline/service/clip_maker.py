"""Makes clips of what is in videos: a few at a time, and the latest are kept in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, TypeVar

from cachetools import LRUCache

from pipeline.drawing.clip import choose_frame_side, choose_region, choose_span, draw_clip
from pipeline.drawing.clip_files import encode_mp4, encode_webp
from pipeline.index_home import IndexHome
from pipeline.search.moving_mask import MovingMask
from pipeline.search.source_images import image_ref
from pipeline.search.video_tracks import find_step, read_masks
from pipeline.service.problems import ProblemError
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.payload import PointPayload
from workers.stores.selection import NO_VIDEO_READER, can_read_videos

ClipFormat = Literal["mp4", "webp"]


@dataclass(frozen=True, slots=True)
class ClipKey:
    """Which clip: `around`, only the surroundings of the object are shown."""

    object_id: str
    form: ClipFormat
    around: bool = False


_MAX_BYTES = 64 * 2**20
_Item = TypeVar("_Item")


class ClipMaker:
    """Reads a part of a video, and draws an object in it. Thread-safe."""

    def __init__(self, settings: Settings, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._clips: LRUCache[ClipKey, bytes] = LRUCache(_MAX_BYTES, getsizeof=len)
        self._lock = threading.Lock()

    def find(self, key: ClipKey) -> bytes | None:
        """A clip that was made lately."""
        with self._lock:
            return self._clips.get(key)

    def make(
        self,
        key: ClipKey,
        payload: PointPayload,
        shot: PointPayload | None,
        home: IndexHome,
    ) -> bytes:
        """The clip as a file. `shot` is that of the object, `home` where its masks are kept.

        Raises BadImageError and StoreErrors for the video, ManifestError for the masks, UsageError
        where what reads videos is not installed, and ProblemError if it takes too long.
        """
        made = self.find(key)
        if made is not None:
            return made
        if not can_read_videos():
            raise UsageError(f"expected a clip, got {NO_VIDEO_READER} ({payload.uri})")
        from workers.videos.read_frame import iterate_frames

        settings = self._settings
        masks = MovingMask(())
        if payload.kind == "object":
            masks = read_masks([payload], home, find_step(shot))[payload.ordinal]
        span_s, size_hw = choose_span(payload, shot), (payload.height, payload.width)
        region = (0, 0, payload.width, payload.height)
        if key.around and payload.kind == "object":
            region = choose_region(payload, masks, span_s)
        side_px = choose_frame_side(region, size_hw)
        frames = iterate_frames(
            image_ref(payload), *span_s, settings.store, settings.decode, side_px
        )
        drawn = draw_clip(self._in_time(frames), masks, region, size_hw)
        made = encode_mp4(drawn) if key.form == "mp4" else encode_webp(drawn)
        if len(made) <= _MAX_BYTES:
            with self._lock:
                self._clips[key] = made
        return made

    def _in_time(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The same; raises ProblemError once a request would no longer be waited for."""
        ends_at_s = self._clock_s() + self._settings.serve.request_timeout_s
        for item in items:
            if self._clock_s() > ends_at_s:
                raise ProblemError(HTTPStatus.GATEWAY_TIMEOUT, "the clip took too long to make")
            yield item
