"""Reads metrics as the numbers of their samples, and what a block adds to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, float]
"""Values by name and labels: `objseek_ingest_images_total{outcome="done"}`."""


def read_samples(text: str) -> Samples:
    """The samples of Prometheus' text format, without the times of creation."""
    return {
        _key(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def registry_samples(registry: CollectorRegistry) -> Samples:
    """The samples of a registry."""
    return {
        _key(sample.name, sample.labels): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@contextmanager
def added_samples(registry: CollectorRegistry) -> Iterator[Samples]:
    """After the block: by how much each sample has changed, unless it has not."""
    before, added = registry_samples(registry), Samples()
    yield added
    for key, value in registry_samples(registry).items():
        if value != before.get(key, 0.0):
            added[key] = value - before.get(key, 0.0)


def _key(name: str, labels: dict[str, str]) -> str:
    shown = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{shown}}}" if shown else name
