"""Collects the service's Prometheus metrics: latencies by stage, counts, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "objseek_request_seconds", "Duration of requests, from the first byte to the last.",
            ("route", "method", "status"), buckets=_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._stages = Histogram(
            "objseek_stage_seconds", "Duration of the stages of a search.",
            ("stage",), buckets=_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._searches = Counter(
            "objseek_searches", "Queries answered, by the relevance of the best hit.",
            ("relevance",), registry=self._registry,
        )  # fmt: skip
        self.points = self._gauge("objseek_index_points", "Points in the index.")
        self.objects = self._gauge("objseek_index_objects", "Objects in the index.")
        self.images = self._gauge("objseek_index_images", "Images in the index.")
        self.broken = self._gauge(
            "objseek_index_broken_points",
            "Points that were found broken since the index was opened: a mask that does not fit "
            "its image is left out of overlaps, a payload that is none of objseek's of hits.",
        )
        self.index_bytes = self._gauge("objseek_index_bytes", "Size of the index on disk.")
        self.upload_bytes = self._gauge("objseek_upload_bytes", "Uploads held in memory.")
        self.waiting = self._gauge("objseek_waiting", "Requests that wait or are worked on.")

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self._registry)

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
        return generate_latest(self._registry)
