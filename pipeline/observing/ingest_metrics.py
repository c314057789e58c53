"""Counts what passes the driver of a job, as metrics of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, generate_latest

from pipeline.observing import metric_names as names
from pipeline.observing.metric_makers import make_counter, make_gauge, make_histogram
from pipeline.observing.observer import RunObserver, WrittenImage
from pipeline.observing.work_reports import StageSpan, WorkReport
from schemas.errors import BadImageError, ObjectArchivedError
from schemas.images import ImageRef
from workers.backoff import listen_to_retries

_STATES = ("reading", "waiting", "working")
_OUTCOMES = ("done", "rejected", "failed", "gone", "unchanged")
_RETRIED = ("store", "credentials", "index", "chunk")
_REASONS = (BadImageError.__name__, ObjectArchivedError.__name__)


class IngestMetrics(RunObserver):
    """The metrics of all jobs of a process: they go on where the last job ended."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._listed = make_counter(names.INGEST_LISTED, registry)
        self._images = make_counter(names.INGEST_IMAGES, registry)
        self._objects = make_counter(names.INGEST_OBJECTS, registry)
        self._bytes = make_counter(names.INGEST_BYTES, registry)
        self._rejects = make_counter(names.INGEST_REJECTS, registry)
        self._failures = make_counter(names.INGEST_FAILURES, registry)
        self._retries = make_counter(names.INGEST_RETRIES, registry)
        self._stages = make_histogram(names.INGEST_STAGES, registry)
        chunks = make_gauge(names.INGEST_CHUNKS, registry)
        # Looking a label up takes longer than to count.
        self._chunk_states = [chunks.labels(state) for state in _STATES]
        self._unwritten = make_gauge(names.INGEST_UNWRITTEN, registry)
        self._workers = make_gauge(names.INGEST_WORKERS, registry)
        self._gpu_memory = make_gauge(names.INGEST_GPU_MEMORY, registry)
        # A rate needs the zero before the first.
        for outcome in _OUTCOMES:
            self._images.labels(outcome)
        for reason in _REASONS:
            self._rejects.labels(reason)
        for what in _RETRIED:
            self._retries.labels(what)

    def note_listed(self, images: int) -> None:
        self._listed.inc(images)

    def note_unchanged(self, images: int) -> None:
        self._images.labels("unchanged").inc(images)

    def note_queues(self, *, reading: int, waiting: int, working: int, workers: int) -> None:
        for gauge, chunks in zip(self._chunk_states, (reading, waiting, working), strict=True):
            gauge.set(chunks)
        self._workers.set(workers)

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        for span in report.spans:
            self._stages.labels(span.stage).observe(span.seconds)
        for what, number in report.retries.items():
            self._retries.labels(what).inc(number)
        if report.gpu is not None:
            self._gpu_memory.labels(report.gpu.uuid, "used").set(report.gpu.used)
            self._gpu_memory.labels(report.gpu.uuid, "total").set(report.gpu.total)

    def note_unwritten(self, images: int) -> None:
        self._unwritten.set(images)

    def note_written(self, images: Sequence[WrittenImage], span: StageSpan) -> None:
        self._stages.labels(span.stage).observe(span.seconds)
        self._bytes.inc(sum(image.ref.size_bytes for image in images))
        self._objects.inc(sum(image.objects for image in images))
        for outcome, number in Counter(image.outcome for image in images).items():
            self._images.labels(outcome).inc(number)
        for image in images:
            if image.outcome == "rejected":
                self._rejects.labels(image.reason).inc()
            elif image.outcome == "failed":
                self._failures.labels(image.stage, image.reason).inc()

    def note_retry(self, what: str) -> None:
        self._retries.labels(what).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


@cache
def process_metrics() -> IngestMetrics:
    """Those of this process, which also count what it tries again."""
    metrics = IngestMetrics()
    listen_to_retries(metrics.note_retry)
    return metrics
