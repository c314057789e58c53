"""Ingests and re-embeddings that the service runs itself: one at a time, in a thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.messages import sanitize, validation_sentence
from pipeline.progress import Progress
from pipeline.service.problems import ProblemError
from pipeline.settings import Settings
from schemas.api import INGEST_SECTIONS, IngestRequest, IngestState, ReembedRequest
from schemas.errors import ObjseekError, VectorIndexError
from workers.protocols import VectorIndex

_log = logging.getLogger(__name__)
_EVERY_S = 0.5
_WRITTEN_EVERY_S = 10.0
_HEARTBEAT_S = 15.0
_MOST_LISTENERS = 32


class CancelledIngestError(BaseException):
    """Raised in the ingest's thread where Ctrl-C would be; it ends as cleanly."""


class _Told(Progress):
    """Keeps the latest note, tells `written` now and then, ends the run when that is asked for."""

    def __init__(self, written: Callable[[], None]) -> None:
        super().__init__()
        self.latest = ""
        self.cancelled = False
        self._written = written
        self._told_at = time.monotonic()

    def note(self, text: str) -> None:
        self.latest = text
        self._check()

    def advance(self) -> None:
        self.latest = ""
        if time.monotonic() - self._told_at > _WRITTEN_EVERY_S:
            self._told_at = time.monotonic()
            self._written()
        self._check()

    def _check(self) -> None:
        if self.cancelled:
            raise CancelledIngestError


class Ingests:
    """Runs ingests into the index that `index` gives.

    `written` is called at the end of one, and now and then; `follow` when another generation of the
    index came into use.
    """

    def __init__(
        self,
        index: Callable[[], VectorIndex],
        settings: Settings,
        written: Callable[[], None],
        follow: Callable[[], None],
    ) -> None:
        self._index, self._settings = index, settings
        self._written, self._follow = written, follow
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._progress: _Told | None = None
        self._sources: tuple[str, ...] = ()
        self._started_at: datetime | None = None
        self._ended: IngestState | None = None
        self._listeners = 0

    def start(self, request: IngestRequest) -> IngestState:
        """Begin. Raises ProblemError if one is at work already, or the settings are none."""
        settings = self._with(request.settings, request.limit)

        def work(progress: Progress) -> None:
            ingest(request.sources, settings, progress, index=self._index())

        return self._start(work, request.sources)

    def start_reembed(self, request: ReembedRequest) -> IngestState:
        """Begin to embed anew. Raises ProblemError as `start` does."""
        settings = self._with(request.settings, None)

        def work(progress: Progress) -> str:
            summary = reembed(settings, progress, index=self._index(), force=request.force)
            if not summary.switched:
                raise VectorIndexError(summary.why_not)
            self._follow()
            return summary.generation

        return self._start(work, ())

    def when_idle(self, job: Callable[[], None]) -> None:
        """Do a job while nothing is at work, if so it is; what would begin waits."""
        with self._lock:
            if not self._busy:
                job()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._ended is None

    def _start(
        self, work: Callable[[Progress], str | None], sources: tuple[str, ...]
    ) -> IngestState:
        with self._lock:
            if self._busy:
                raise ProblemError(HTTPStatus.CONFLICT, "an ingest is at work already")
            self._sources, self._progress = sources, _Told(self._written)
            self._started_at, self._ended = datetime.now(UTC), None
            self._thread = threading.Thread(
                target=self._run, args=(work, self._progress), name="ingest"
            )
            self._thread.start()
        return self.state()

    def cancel(self) -> IngestState:
        """Have the ingest end; what it has finished by then is written."""
        if self._progress is not None:
            self._progress.cancelled = True
        return self.state()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        if self._thread is not None:
            self._thread.join()

    def state(self) -> IngestState:
        """How far it is."""
        if self._ended is not None:
            return self._ended
        progress = self._progress
        if progress is None:
            return IngestState(state="none")
        return self._state_of(progress, "running")

    async def events(self) -> AsyncIterator[IngestState | None]:
        """The state whenever it has changed, until the end; None where nothing did for a while."""
        if self._listeners >= _MOST_LISTENERS:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "too many listen already")
        self._listeners += 1
        try:
            before, quiet = None, 0.0
            while True:
                state = self.state()
                changed = state.model_copy(update={"seconds": 0.0, "images_per_s": 0.0})
                if changed != before:
                    yield state
                    before, quiet = changed, 0.0
                elif quiet >= _HEARTBEAT_S:
                    yield None
                    quiet = 0.0
                await asyncio.sleep(_EVERY_S)
                quiet += _EVERY_S
        finally:
            self._listeners -= 1

    def _with(self, sections: dict[str, dict[str, object]], limit: int | None) -> Settings:
        unknown = sorted(set(sections) - set(INGEST_SECTIONS))
        if unknown:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"settings: expected some of {', '.join(INGEST_SECTIONS)}, "
                f"got {', '.join(unknown)}",
            )
        given: dict[str, Any] = {
            name: {**getattr(self._settings, name).model_dump(exclude_unset=True), **values}
            for name, values in sections.items()
        }
        try:
            parts = {
                name: type(getattr(self._settings, name)).model_validate(values)
                for name, values in given.items()
            }
        except ValidationError as exc:
            sentence = f"settings: {validation_sentence(exc)}"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence) from exc
        return self._settings.model_copy(update={**parts, "limit": limit})

    def _run(self, work: Callable[[Progress], str | None], progress: _Told) -> None:
        error: str | None = None
        generation: str | None = None
        state = "done"
        try:
            # Index and manifest have to be those of one generation.
            self._follow()
            generation = work(progress)
        except CancelledIngestError:
            state = "cancelled"
        except ObjseekError as exc:
            state, error = "failed", sanitize(str(exc))
        except Exception:
            _log.exception("an ingest failed")
            state, error = "failed", "something went wrong; the service's log has the details"
        finally:
            # Whoever sees the end sees what was written.
            try:
                self._written()
            finally:
                self._ended = self._state_of(progress, state, error, generation)

    def _state_of(
        self,
        progress: _Told,
        state: str,
        error: str | None = None,
        generation: str | None = None,
    ) -> IngestState:
        return IngestState.model_validate(
            {
                "state": state,
                "note": progress.latest,
                "sources": self._sources,
                "started_at": self._started_at,
                "seconds": round(progress.seconds, 3),
                **progress.counts.model_dump(),
                "images_per_s": round(progress.rate, 3),
                "error": error,
                "generation": generation,
                "failures": tuple(
                    sanitize(failure.message) for failure in progress.details.failures
                ),
            }
        )
