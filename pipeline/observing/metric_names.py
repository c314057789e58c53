"""Lists every metric that is exported, of jobs and of the service: its name, kind and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REQUEST_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
CHUNK_BUCKETS_S = (
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric as Prometheus sees it. `about` is a sentence; a histogram has `buckets`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


INGEST_LISTED = MetricSpec(
    "objseek_ingest_listed_images_total", "counter", "Images that listings have given."
)
INGEST_IMAGES = MetricSpec(
    "objseek_ingest_images_total",
    "counter",
    "Images by what became of them: done, rejected, failed, gone, or unchanged since before.",
    ("outcome",),
)
INGEST_OBJECTS = MetricSpec(
    "objseek_ingest_objects_total", "counter", "Objects that were written to the index."
)
INGEST_BYTES = MetricSpec(
    "objseek_ingest_bytes_total",
    "counter",
    "Size of the files of images that were worked on, whatever came of it.",
)
INGEST_REJECTS = MetricSpec(
    "objseek_ingest_rejects_total",
    "counter",
    "Images that are bad input, by the class of the error.",
    ("reason",),
)
INGEST_FAILURES = MetricSpec(
    "objseek_ingest_failures_total",
    "counter",
    "Images that failed and may succeed later, by stage and the class of the error.",
    ("stage", "reason"),
)
INGEST_RETRIES = MetricSpec(
    "objseek_ingest_retries_total",
    "counter",
    "What was tried again: requests to the store or the index, chunks whose process died or whose "
    "node was lost.",
    ("what",),
)
INGEST_STAGES = MetricSpec(
    "objseek_ingest_stage_seconds",
    "histogram",
    "Seconds that a chunk of images spent in a stage: read, segment, track (videos), embed, label, "
    "check, thumbnail, and write, which is of a batch of results.",
    ("stage",),
    CHUNK_BUCKETS_S,
)
INGEST_CHUNKS = MetricSpec(
    "objseek_ingest_chunks",
    "gauge",
    "Chunks on their way: being read, waiting for a worker, with a worker.",
    ("state",),
)
INGEST_UNWRITTEN = MetricSpec(
    "objseek_ingest_unwritten_images", "gauge", "Images that are worked on and not yet written."
)
INGEST_WORKERS = MetricSpec(
    "objseek_ingest_workers", "gauge", "Workers that have loaded their models."
)
INGEST_GPU_MEMORY = MetricSpec(
    "objseek_ingest_gpu_memory_bytes",
    "gauge",
    "Memory of each GPU that workers are on, by its UUID: used by all processes, and in total.",
    ("gpu", "kind"),
)

INGEST_METRICS = (
    INGEST_LISTED,
    INGEST_IMAGES,
    INGEST_OBJECTS,
    INGEST_BYTES,
    INGEST_REJECTS,
    INGEST_FAILURES,
    INGEST_RETRIES,
    INGEST_STAGES,
    INGEST_CHUNKS,
    INGEST_UNWRITTEN,
    INGEST_WORKERS,
    INGEST_GPU_MEMORY,
)

REQUESTS = MetricSpec(
    "objseek_request_seconds",
    "histogram",
    "Duration of requests, from the first byte to the last.",
    ("route", "method", "status"),
    REQUEST_BUCKETS_S,
)
SEARCH_STAGES = MetricSpec(
    "objseek_stage_seconds",
    "histogram",
    "Duration of the stages of a search: embed, index, judge.",
    ("stage",),
    REQUEST_BUCKETS_S,
)
SEARCHES = MetricSpec(
    "objseek_searches_total",
    "counter",
    "Queries answered, by the relevance of the best hit.",
    ("relevance",),
)
INDEX_POINTS = MetricSpec("objseek_index_points", "gauge", "Points in the index.")
INDEX_OBJECTS = MetricSpec("objseek_index_objects", "gauge", "Objects in the index.")
INDEX_IMAGES = MetricSpec("objseek_index_images", "gauge", "Images in the index.")
INDEX_BROKEN = MetricSpec(
    "objseek_index_broken_points",
    "gauge",
    "Points that were found broken since the index was opened: a mask that does not fit its image "
    "is left out of overlaps, a payload that is none of objseek's of hits.",
)
INDEX_BYTES = MetricSpec("objseek_index_bytes", "gauge", "Size of the index on disk.")
INDEX_CHANGED = MetricSpec(
    "objseek_index_changed_timestamp_seconds",
    "gauge",
    "When the service last saw the numbers of its index change; at first, when it was started.",
)
UPLOAD_BYTES = MetricSpec("objseek_upload_bytes", "gauge", "Uploads held in memory.")
WAITING = MetricSpec("objseek_waiting", "gauge", "Requests that wait or are worked on.")

SERVICE_METRICS = (
    REQUESTS,
    SEARCH_STAGES,
    SEARCHES,
    INDEX_POINTS,
    INDEX_OBJECTS,
    INDEX_IMAGES,
    INDEX_BROKEN,
    INDEX_BYTES,
    INDEX_CHANGED,
    UPLOAD_BYTES,
    WAITING,
)
