"""Runs ingests and re-embeddings inside the service: one at a time, in a thread."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.messages import sanitize
from pipeline.progress import Progress
from pipeline.service.job_events import JobEvents
from pipeline.service.job_progress import JobCancelled, JobProgress
from pipeline.service.job_settings import merge_settings
from pipeline.service.problems import ProblemError
from pipeline.settings import Settings
from schemas.errors import ObjseekError, VectorIndexError
from schemas.ingest_api import IngestRequest, IngestState, ReembedRequest
from workers.protocols import VectorIndex

_log = logging.getLogger(__name__)

Work = Callable[[Progress], str | None]
"""What a job does. Returns the generation that it has brought into use, if any."""


@dataclass(slots=True)
class _Job:
    """A job that has been started; `end` is its state once it has ended."""

    work: Work
    sources: tuple[str, ...]
    progress: JobProgress
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    end: IngestState | None = None
    thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        return self.thread is not None and self.end is None

    def describe(
        self, state: str, error: str | None = None, generation: str | None = None
    ) -> IngestState:
        return IngestState.model_validate(
            {
                "state": state,
                "note": self.progress.latest_note,
                "sources": self.sources,
                "started_at": self.started_at,
                "seconds": round(self.progress.seconds, 3),
                **self.progress.counts.model_dump(),
                "images_per_s": round(self.progress.rate, 3),
                "seconds_left": _round_up(self.progress.seconds_left),
                "newest": self.progress.newest,
                "error": error,
                "generation": generation,
                "dropped_added": self.progress.details.dropped_added,
                "failures": tuple(
                    sanitize(failure.message) for failure in self.progress.details.failures
                ),
            }
        )


def _round_up(seconds: float | None) -> int | None:
    return None if seconds is None else math.ceil(seconds)


class BackgroundJobs:
    """Runs jobs on the index that `index` returns.

    `on_written` is called at the end of a job, and now and then before; `follow` when another
    generation of the index may have come into use. `events` streams the state of the jobs.
    """

    def __init__(
        self,
        index: Callable[[], VectorIndex],
        settings: Settings,
        on_written: Callable[[], None],
        follow: Callable[[], None],
    ) -> None:
        # The service's own /metrics have those of its jobs.
        unserved = {"metrics_port": None, "push_gateway": None}
        observe = settings.observe.model_copy(update=unserved)
        self._index = index
        self._settings = settings.model_copy(update={"observe": observe})
        self._on_written, self._follow = on_written, follow
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self.events = JobEvents(self.state)

    def start_ingest(self, request: IngestRequest) -> IngestState:
        """Begin to ingest. Raises ProblemError if a job is at work, or for invalid settings."""
        settings = merge_settings(self._settings, request.settings, request.limit)

        def work(progress: Progress) -> None:
            ingest(request.sources, settings, progress, index=self._index())

        return self._start(work, request.sources)

    def start_reembed(self, request: ReembedRequest) -> IngestState:
        """Begin to re-embed. Raises ProblemError as `start_ingest` does."""
        settings = merge_settings(self._settings, request.settings, None)

        def work(progress: Progress) -> str:
            summary = reembed(settings, progress, index=self._index(), force=request.force)
            if not summary.switched:
                raise VectorIndexError(summary.why_not)
            self._follow()
            return summary.generation

        return self._start(work, ())

    def run_when_idle(self, action: Callable[[], None]) -> None:
        """Do `action` unless a job is at work; a job that would start meanwhile waits."""
        with self._lock:
            if self._job is None or not self._job.is_alive:
                action()

    def cancel(self) -> IngestState:
        """Have the job end; what it has finished by then is written."""
        if self._job is not None:
            self._job.progress.cancelled = True
        return self.state()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        if self._job is not None and self._job.thread is not None:
            self._job.thread.join()

    def state(self) -> IngestState:
        """The state of the job that runs, or of the last one."""
        job = self._job
        if job is None:
            return IngestState(state="none")
        return job.end or job.describe("running")

    def _start(self, work: Work, sources: tuple[str, ...]) -> IngestState:
        with self._lock:
            if self._job is not None and self._job.is_alive:
                raise ProblemError(HTTPStatus.CONFLICT, "an ingest is at work already")
            job = _Job(work, sources, JobProgress(self._on_written))
            job.thread = threading.Thread(target=self._run, args=(job,), name="ingest")
            self._job = job
            job.thread.start()
        return self.state()

    def _run(self, job: _Job) -> None:
        state, error, generation = "done", None, None
        try:
            # Index and manifest have to be those of one generation.
            self._follow()
            generation = job.work(job.progress)
        except JobCancelled:
            state = "cancelled"
        except ObjseekError as exc:
            state, error = "failed", sanitize(str(exc))
        except Exception:
            _log.exception("an ingest failed")
            state, error = "failed", "an internal error occurred; the service's log has the details"
        finally:
            # Whoever sees the end sees what was written.
            try:
                self._on_written()
            finally:
                job.end = job.describe(state, error, generation)
