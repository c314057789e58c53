"""Streams the state of background jobs to listeners, whenever it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from pipeline.service.problems import ProblemError
from schemas.ingest_api import IngestState

_POLL_S = 0.5
_MAX_LISTENERS = 32


class JobEvents:
    """Polls `state` for each of its listeners, of which there may be 32."""

    def __init__(self, state: Callable[[], IngestState]) -> None:
        self._state = state
        self._listeners = 0

    def listen(self) -> AsyncIterator[IngestState]:
        """The state now, and again whenever it has changed, for ever.

        Raises ProblemError if there are too many listeners, before the stream begins.
        """
        if self._listeners >= _MAX_LISTENERS:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "too many listeners already")
        return self._poll()

    async def _poll(self) -> AsyncIterator[IngestState]:
        self._listeners += 1
        try:
            previous = None
            while True:
                state = self._state()
                # Both figures change all the time.
                comparable = state.model_copy(update={"seconds": 0.0, "images_per_s": 0.0})
                if comparable != previous:
                    yield state
                    previous = comparable
                await asyncio.sleep(_POLL_S)
        finally:
            self._listeners -= 1
