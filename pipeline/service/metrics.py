"""Collects the service's Prometheus metrics: latencies by stage, counts, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from pipeline.observing import metric_names as names
from pipeline.observing.ingest_metrics import process_metrics
from pipeline.observing.metric_makers import make_counter, make_gauge, make_histogram
from schemas.points import IndexInfo


class Metrics:
    """The metrics of one service, and of the ingests that it runs."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = make_histogram(names.REQUESTS, registry)
        self._stages = make_histogram(names.SEARCH_STAGES, registry)
        self._searches = make_counter(names.SEARCHES, registry)
        self.points = make_gauge(names.INDEX_POINTS, registry)
        self.objects = make_gauge(names.INDEX_OBJECTS, registry)
        self.images = make_gauge(names.INDEX_IMAGES, registry)
        self.broken = make_gauge(names.INDEX_BROKEN, registry)
        self.index_bytes = make_gauge(names.INDEX_BYTES, registry)
        self.upload_bytes = make_gauge(names.UPLOAD_BYTES, registry)
        self.waiting = make_gauge(names.WAITING, registry)
        self._changed = make_gauge(names.INDEX_CHANGED, registry)
        self._changed.set_to_current_time()
        self._index: IndexInfo | None = None

    def note_index(self, info: IndexInfo) -> None:
        """Take what the index holds now."""
        if self._index not in (None, info):
            self._changed.set_to_current_time()
        self._index = info
        self.points.set(info.points)
        self.objects.set(info.objects)
        self.images.set(info.images)
        self.index_bytes.set(info.size_bytes or 0)

    def observe(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        """Count a response by its route's pattern: paths hold ids, of which there are many."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
        self._requests.labels(route, method, str(status)).observe(seconds)

    def count_search(self, seconds: Mapping[str, float], relevance: str | None) -> None:
        """Count a search and its stages."""
        for stage, duration_s in seconds.items():
            self._stages.labels(stage).observe(duration_s)
        self._searches.labels(relevance or "unknown").inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry) + process_metrics().text()
