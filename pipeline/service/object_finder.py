"""Looks for the objects of uploads in the background, so that no search waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from functools import partial

from pipeline.search.found_objects import FoundObjects, wrap_masks
from pipeline.search.searcher import Searcher
from pipeline.service.search_queue import SearchQueue
from pipeline.service.uploads import Upload, Uploads
from schemas.errors import ModelError, ObjseekError
from workers.segmenter_protocols import Segmenter

_log = logging.getLogger(__name__)
_LOOK_TIMEOUT_S = 3600


class ObjectFinder:
    """Looks at one upload after another, the latest first. To be used in the event loop.

    It loads the models that searches with uploads need, too: users look at their image first.
    """

    def __init__(self, queue: SearchQueue, uploads: Uploads) -> None:
        self._queue, self._uploads = queue, uploads
        self._looked_for: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there are uploads that have yet to be looked at."""
        return self._task is not None

    def begin(self, upload_id: str) -> None:
        """Look at an upload soon, unless the service is ending."""
        if self._queue.is_ending:
            return
        self._looked_for[upload_id] = asyncio.Event()
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def wait(self, upload_id: str, timeout_s: float | None = None) -> None:
        """Return when the upload has been looked at, or is not waiting for it.

        Raises ProblemError if that takes longer than `timeout_s`, or than any request may.
        """
        event = self._looked_for.get(upload_id)
        if event is not None:
            await self._queue.wait_for(event.wait(), timeout_s)

    async def close(self) -> None:
        """Look at nothing more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        while self._looked_for:
            upload_id = next(reversed(self._looked_for))
            try:
                upload = self._uploads.get(upload_id)
                if upload is not None:
                    await self._look_at(upload)
            finally:
                self._looked_for.pop(upload_id).set()
        self._task = None

    async def _look_at(self, upload: Upload) -> None:
        try:
            found = await self._find(upload)
        except ObjseekError as exc:
            self._uploads.note_error(upload.identity, exc)
        except Exception:
            _log.exception("the objects of an upload could not be found")
            error = ModelError("the segmenter could not find the objects of the upload")
            self._uploads.note_error(upload.identity, error)
        else:
            self._uploads.note_found(upload.identity, found)

    async def _find(self, upload: Upload) -> FoundObjects:
        searcher = self._queue.searcher
        if not searcher.info.points:
            return FoundObjects(())
        segmenter = await self._queue.find(partial(_load, searcher), _LOOK_TIMEOUT_S)
        found = await self._queue.run(lambda now: now.find_indexed(upload.pixels), _LOOK_TIMEOUT_S)
        if found.is_indexed:
            return found
        masks = await self._queue.find(lambda: segmenter.segment([upload.pixels]), _LOOK_TIMEOUT_S)
        return replace(found, objects=wrap_masks(masks[0]))


def _load(searcher: Searcher) -> Segmenter:
    searcher.models.images()
    # For points in the upload, even where the index holds all of its objects.
    return searcher.models.segmenter()
