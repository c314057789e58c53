"""Opens the observers that the settings name, for as long as a job runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.observing.exports import push_metrics, serve_metrics
from pipeline.observing.ingest_metrics import process_metrics
from pipeline.observing.json_lines import json_log
from pipeline.observing.observer import RunObserver
from schemas.observe_options import ObserveOptions


@contextmanager
def observe(options: ObserveOptions) -> Iterator[RunObserver]:
    """Who is to be told what passes. Metrics are always counted: others may want them later.

    Raises UsageError for a port that is taken.
    """
    metrics = process_metrics()
    with ExitStack() as held:
        held.enter_context(json_log(options))
        held.enter_context(serve_metrics(metrics.registry, options))
        held.enter_context(push_metrics(metrics.registry, options))
        yield metrics
