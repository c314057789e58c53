"""Makes metrics of prometheus-client as they are listed in `metric_names`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.observing.metric_names import MetricSpec


def make_counter(spec: MetricSpec, registry: CollectorRegistry) -> Counter:
    """The counter of `spec`."""
    return Counter(spec.name, spec.about, spec.labels, registry=registry)


def make_gauge(spec: MetricSpec, registry: CollectorRegistry) -> Gauge:
    """The gauge of `spec`."""
    return Gauge(spec.name, spec.about, spec.labels, registry=registry)


def make_histogram(spec: MetricSpec, registry: CollectorRegistry) -> Histogram:
    """The histogram of `spec`."""
    return Histogram(spec.name, spec.about, spec.labels, registry=registry, buckets=spec.buckets)
