"""Traces the way of some images through a job, and of some searches, by OpenTelemetry.

Only whoever traces imports this: its libraries are an extra.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from pipeline.messages import sanitize
from pipeline.observing.observer import RunObserver, WrittenImage
from pipeline.observing.work_reports import StageSpan, WorkReport
from schemas.ids import image_id
from schemas.images import ImageRef

_SHARES = 1 << 32
# Of images that are on their way: a listing also has those that turn out to be done.
_MOST_PENDING = 10_000


@contextmanager
def open_tracer(processor: SpanProcessor | None = None) -> Iterator[Tracer]:
    """A tracer whose spans have left the process at the end of the block.

    They go to `processor`, None: by OTLP over HTTP to where OpenTelemetry's own variables say,
    which is http://localhost:4318 by default.
    """
    provider = TracerProvider(
        resource=Resource.create({"service.name": "objseek", "service.version": version("objseek")})
    )
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer("objseek")
    finally:
        provider.shutdown()


class ImageTraces(RunObserver):
    """A trace for a `share` of the images, always the same ones; for any thread.

    Its spans are those of the chunks and batches that the image was in, with the clock of whoever
    did the work, and one around them.
    """

    def __init__(self, tracer: Tracer, share: float) -> None:
        self._tracer, self._share = tracer, share
        self._lock = threading.Lock()
        self._pending = OrderedDict[UUID, list[tuple[StageSpan, int]]]()

    def note_listing(self, refs: Sequence[ImageRef], span: StageSpan) -> None:
        self._add(refs, [span], begins=True)

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        self._add(refs, report.spans)

    def note_written(self, images: Sequence[WrittenImage], span: StageSpan) -> None:
        for image in images:
            identity = image_id(image.ref)
            if not self._is_traced(identity):
                continue
            with self._lock:
                before = self._pending.pop(identity, [])
            self._end(image, identity, [*before, (span, len(images))])

    def _is_traced(self, identity: UUID) -> bool:
        return identity.int % _SHARES < self._share * _SHARES

    def _add(
        self, refs: Sequence[ImageRef], spans: Sequence[StageSpan], *, begins: bool = False
    ) -> None:
        traced = [each for each in map(image_id, refs) if self._is_traced(each)]
        with self._lock:
            for identity in traced:
                if begins:  # a watch lists it again and again, and it may be unchanged for long
                    self._pending.pop(identity, None)
                pending = self._pending.setdefault(identity, [])
                pending += [(span, len(refs)) for span in spans]
            while len(self._pending) > _MOST_PENDING:
                self._pending.popitem(last=False)

    def _end(
        self, image: WrittenImage, identity: UUID, spans: Sequence[tuple[StageSpan, int]]
    ) -> None:
        root = self._tracer.start_span(
            "image",
            context=Context(),
            start_time=_to_ns(min(span.started_s for span, _ in spans)),
            attributes={
                "objseek.image.id": str(identity),
                "objseek.image.uri": sanitize(image.ref.uri),
                "objseek.image.bytes": image.ref.size_bytes,
                "objseek.outcome": image.outcome,
                "objseek.objects": image.objects,
            },
        )
        if image.outcome != "done":
            root.set_attributes({"objseek.stage": image.stage, "error.type": image.reason})
            root.set_status(Status(StatusCode.ERROR, f"{image.outcome} in {image.stage}"))
        for span, together in spans:
            _add_child(self._tracer, root, span, {"objseek.chunk.images": together})
        root.end(_to_ns(max(span.started_s + span.seconds for span, _ in spans)))


class SearchTraces:
    """A trace for a `share` of searches, picked at random."""

    def __init__(self, tracer: Tracer, share: float) -> None:
        self._tracer, self._share = tracer, share

    def note_search(self, seconds: Mapping[str, float], relevance: str | None) -> None:
        """A search has just ended, whose stages, one after the other, took so long."""
        if not seconds or random.random() >= self._share:
            return
        ended_s = time.time()
        started_s = ended_s - sum(seconds.values())
        root = self._tracer.start_span(
            "search",
            context=Context(),
            start_time=_to_ns(started_s),
            attributes={"objseek.relevance": relevance or "unknown"},
        )
        for stage, duration_s in seconds.items():
            _add_child(self._tracer, root, StageSpan(stage, started_s, duration_s), {})
            started_s += duration_s
        root.end(_to_ns(ended_s))


def _add_child(tracer: Tracer, root: Span, span: StageSpan, attributes: dict[str, int]) -> None:
    child = tracer.start_span(
        span.stage,
        context=set_span_in_context(root, Context()),
        start_time=_to_ns(span.started_s),
        attributes=attributes,
    )
    child.end(_to_ns(span.started_s + span.seconds))


def _to_ns(seconds: float) -> int:
    return round(seconds * 1e9)
