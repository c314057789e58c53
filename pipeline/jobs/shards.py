"""Ingests the shards of a source at the same time, each as a job in a process of its own."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.observing.forwarding import ForwardingObserver, JobQueues, Observed
from pipeline.observing.observe import observe
from pipeline.observing.observer import RunObserver
from pipeline.progress import Progress, RunDetails
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import ObjseekError, UsageError
from schemas.ingest_api import NewObject
from schemas.listed_part import Shard
from schemas.observe_options import ObserveOptions
from workers.backoff import listen_to_retries

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class ShardsSummary:
    """What all jobs came to together, and a sentence for each that did not come to its end."""

    together: IngestSummary
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _State:
    """What a job tells of itself on its way."""

    counts: IngestCounts
    newest: tuple[NewObject, ...] = ()
    seconds_left: float | None = None
    working: bool = False


@dataclass(slots=True)
class _Job:
    """A job as whoever waits for it knows it."""

    shard: Shard
    process: SpawnProcess
    state: _State = field(default_factory=lambda: _State(IngestCounts()))
    summary: IngestSummary | None = None
    error: str | None = None

    def take(self, message: _State | IngestSummary | str | None) -> None:
        """Take a message of the job; None: it has ended."""
        if isinstance(message, _State):
            self.state = message
        elif isinstance(message, IngestSummary):
            self.summary = message
            self.state = _State(message.counts, working=self.state.working)
        elif message is not None:
            self.error = message
        elif self.summary is None and self.error is None:
            self.process.join()
            self.error = f"its process ended with exit code {self.process.exitcode}"


def check_shards(settings: Settings, count: int) -> None:
    """Raise UsageError unless settings are such that `count` jobs can share them."""
    if settings.store.shard is not None:
        raise UsageError(
            f"expected either a shard or how many are to be run, got shard {settings.store.shard} "
            f"and {count} shards"
        )
    if settings.limit is not None:
        raise UsageError(f"expected no limit for {count} shards, got {settings.limit}")
    if settings.runner.name == "ray" and settings.runner.ray_address is None:
        raise UsageError(
            f"expected the address of a Ray cluster for {count} shards (--ray-address auto): "
            "on one machine without one, --workers does as much"
        )
    IndexHome.current(_choose(settings, Shard(1, count))).require_shareable()


def ingest_shards(
    sources: Sequence[str],
    settings: Settings,
    count: int,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
) -> ShardsSummary:
    """Ingest all `count` shards of `sources` at the same time, into one index and one manifest.

    `progress` is that of all together. A job that ends early ends no other. Raises UsageError for
    settings that jobs cannot share; Ctrl-C ends all jobs, each of which writes what it has done.
    """
    check_shards(settings, count)
    progress = progress or Progress()
    jobs: dict[Connection, _Job] = {}
    with progress, observe(settings.observe) as observer:
        try:
            for number in range(1, count + 1):
                shard = Shard(number, count)
                ours, theirs = _SPAWN.Pipe(duplex=False)
                given = (sources, _choose(settings, shard), recipe, theirs)
                process = _SPAWN.Process(target=_run_job, args=given, name=f"shard {shard}")
                process.start()
                theirs.close()  # so that its end is seen here
                jobs[ours] = _Job(shard, process)
            _follow(jobs, progress, JobQueues(observer))
        finally:
            for job in jobs.values():
                # An interrupt of the terminal has reached them as well.
                if job.summary is None and job.error is None:
                    job.process.terminate()
                job.process.join()
    return _add_up(list(jobs.values()), settings, progress)


def _choose(settings: Settings, shard: Shard) -> Settings:
    store = settings.store.model_copy(update={"shard": str(shard)})
    # Metrics and traces are those of all together, and leave the process that waits for them.
    observe = ObserveOptions(log_format=settings.observe.log_format)
    return settings.model_copy(update={"store": store, "observe": observe})


def _follow(jobs: Mapping[Connection, _Job], progress: Progress, queues: JobQueues) -> None:
    """Until all have ended."""
    running = dict(jobs)
    while running:
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            try:
                message = ready.recv()
            except EOFError:
                running.pop(ready).take(None)
                queues.drop(ready)
                ready.close()
            else:
                if isinstance(message, Observed):
                    queues.take(ready, message)
                    continue
                running[ready].take(message)
        _show([job.state for job in jobs.values()], progress)


def _show(states: Sequence[_State], progress: Progress) -> None:
    left = [state.seconds_left for state in states]
    known = [seconds for seconds in left if seconds is not None]
    newest = next((state.newest for state in states if state.newest), ())
    progress.take(
        IngestCounts.add_up([state.counts for state in states]),
        newest,
        max(known) if len(known) == len(left) else None,
    )
    if not progress.working and any(state.working for state in states):
        progress.begin()
    if progress.working:
        progress.advance()


def _add_up(jobs: Sequence[_Job], settings: Settings, progress: Progress) -> ShardsSummary:
    details = progress.details
    for job in jobs:
        if job.summary is not None:
            _add_details(details, job.summary.details)
    together = IngestSummary(
        IngestCounts.add_up([job.state.counts for job in jobs]),
        details,
        progress.seconds,
        progress.rate,
        settings.index.location,
        None,
    )
    errors = {str(job.shard): job.error for job in jobs if job.error is not None}
    return ShardsSummary(together, errors)


def _add_details(details: RunDetails, more: RunDetails) -> None:
    details.skipped += more.skipped
    details.empty_uris += more.empty_uris
    details.add_failures(more.failures)
    details.warnings += [each for each in more.warnings if each not in details.warnings]
    details.dropped_added += more.dropped_added


class _SentProgress(Progress):
    """Tells its counts, and what passes, to whoever waits for the job and has the observers."""

    def __init__(self, waiting: Connection) -> None:
        super().__init__()
        self._waiting = waiting
        self._turn = threading.Lock()
        self.observer = ForwardingObserver(self.send)

    def tell(self, observer: RunObserver) -> None:
        listen_to_retries(self.observer.note_retry)

    def advance(self) -> None:
        self.send(_State(self.counts, self.newest, self.seconds_left, self.working))

    def send(self, message: _State | Observed) -> None:
        """Send from any thread."""
        with self._turn:
            self._waiting.send(message)


def _run_job(
    sources: Sequence[str], settings: Settings, recipe: Recipe | None, waiting: Connection
) -> None:
    """In a process of its own: one shard."""
    try:
        waiting.send(ingest(sources, settings, _SentProgress(waiting), recipe))
    except ObjseekError as exc:
        waiting.send(str(exc))
    except (KeyboardInterrupt, BrokenPipeError):
        return  # whoever waited has gone, or is told by the same key
    finally:
        waiting.close()
