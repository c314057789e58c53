"""Opens the observers that the settings name, for as long as a job or a service runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.observing.exports import push_metrics, serve_metrics
from pipeline.observing.ingest_metrics import process_metrics
from pipeline.observing.json_lines import json_log
from pipeline.observing.observer import ObserverGroup, RunObserver
from schemas.errors import UsageError
from schemas.observe_options import ObserveOptions

if TYPE_CHECKING:
    from types import ModuleType

    from pipeline.observing.traces import SearchTraces


@contextmanager
def observe(options: ObserveOptions) -> Iterator[RunObserver]:
    """Who is to be told what passes. Metrics are always counted: others may want them later.

    Raises UsageError for a port that is taken, and for traces whose libraries are not installed.
    """
    metrics = process_metrics()
    with ExitStack() as held:
        held.enter_context(json_log(options))
        held.enter_context(serve_metrics(metrics.registry, options))
        held.enter_context(push_metrics(metrics.registry, options))
        if options.traces == "none":
            yield metrics
            return
        traces = _import_traces()
        tracer = held.enter_context(traces.open_tracer())
        yield ObserverGroup([metrics, traces.ImageTraces(tracer, options.trace_share)])


@contextmanager
def trace_searches(options: ObserveOptions) -> Iterator[SearchTraces | None]:
    """What is told every search of a service, None without traces. Raises as `observe` does."""
    if options.traces == "none":
        yield None
        return
    traces = _import_traces()
    with traces.open_tracer() as tracer:
        yield traces.SearchTraces(tracer, options.trace_share)


def check_traces(options: ObserveOptions) -> None:
    """Raise UsageError for traces whose libraries are not installed."""
    if options.traces != "none":
        _import_traces()


def _import_traces() -> ModuleType:
    try:
        from pipeline.observing import traces
    except ImportError as exc:
        raise UsageError(
            "expected OpenTelemetry to be installed for observe.traces = otlp: "
            "pip install 'objseek[traces]'"
        ) from exc
    return traces
