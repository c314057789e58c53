"""Traces: the way of an image through a job, and the stages of a search, as spans."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support import fakes
from support.loopback_server import running_server
from support.service_world import served

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import ignore_skipped, list_chunks
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.ingest import ingest
from pipeline.observing.observe import observe
from pipeline.observing.observer import WrittenImage
from pipeline.observing.traces import ImageTraces, SearchTraces, open_tracer
from pipeline.observing.work_reports import StageSpan
from pipeline.progress import Progress
from pipeline.runners.recipe import build_always
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.observe_options import ObserveOptions

WAY = ["list", "read", "segment", "embed", "label", "check", "thumbnail", "write"]


@contextmanager
def traced_images(share: float = 1.0) -> Iterator[tuple[ImageTraces, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    with open_tracer(SimpleSpanProcessor(exporter)) as tracer:
        yield ImageTraces(tracer, share), exporter


def ingest_traced(images: Path, settings: Settings, traces: ImageTraces) -> None:
    recipe = build_always(fakes.recipe(settings, "error"))
    listing = list_chunks([str(images)], settings.store, 4, None, ignore_skipped)
    with IngestSession(settings, recipe, observer=traces) as session:
        session.run(listing, IndexHome.current(settings), Progress())


def roots(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if span.parent is None]


def stages(spans: Sequence[ReadableSpan], root: ReadableSpan) -> list[ReadableSpan]:
    """The spans below `root`, in the order of their starts."""
    below = [span for span in spans if span.parent and span.parent.span_id == root.context.span_id]
    return sorted(below, key=lambda span: span.start_time or 0)


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.long)])
def test_the_way_of_an_image_is_one_trace(runner: str, tmp_path: Path) -> None:
    paths = fakes.write_images(tmp_path / "images", 5)
    settings = fakes.settings(tmp_path / "index", "ray" if runner == "ray" else "local")
    with traced_images() as (traces, exporter):
        ingest_traced(tmp_path / "images", settings, traces)
        spans = exporter.get_finished_spans()
    images = {str((span.attributes or {})["objseek.image.uri"]): span for span in roots(spans)}
    assert set(images) == {f"file://{path}" for path in paths}
    assert len({span.context.trace_id for span in images.values()}) == 5
    for uri, root in images.items():
        below = stages(spans, root)
        assert [span.name for span in below] == WAY
        assert {span.context.trace_id for span in below} == {root.context.trace_id}
        ends = [span.end_time or 0 for span in below]
        assert root.start_time == below[0].start_time
        assert root.end_time == max(ends)
        found = root.attributes or {}
        assert found["objseek.image.id"] == str(image_id(ImageRef.from_uri(uri, "", 0)))
        assert (found["objseek.outcome"], found["objseek.objects"]) == ("done", 2)
        assert root.status.status_code is StatusCode.UNSET


def test_an_image_that_fails_says_where(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "images" / "poisoned.png", 3, fakes.POISON)
    with traced_images() as (traces, exporter):
        ingest_traced(tmp_path / "images", fakes.settings(tmp_path / "index"), traces)
        spans = exporter.get_finished_spans()
    (root,) = roots(spans)
    found = root.attributes or {}
    assert (found["objseek.outcome"], found["objseek.stage"]) == ("failed", "segment")
    assert found["error.type"] == "RuntimeError"
    assert root.status.status_code is StatusCode.ERROR
    # Together with the others of its chunk, and then alone.
    assert [span.name for span in stages(spans, root)] == [
        "list",
        "read",
        "segment",
        "segment",
        "write",
    ]


def test_a_share_of_images_is_traced_and_always_the_same_one() -> None:
    refs = [ImageRef("s3", "bucket", f"{number}.jpg", "v", 1) for number in range(2000)]
    with traced_images(0.1) as (traces, _), traced_images(0.1) as (others, _):
        for each in (traces, others):
            each.note_listing(refs, StageSpan("list", 0.0, 1.0))
    assert set(traces._pending) == set(others._pending)
    assert 150 < len(traces._pending) < 250


def test_images_that_turn_out_to_be_done_are_forgotten() -> None:
    refs = [ImageRef("s3", "bucket", f"{number}.jpg", "v", 1) for number in range(10_050)]
    with traced_images() as (traces, _):
        traces.note_listing(refs, StageSpan("list", 0.0, 1.0))
    assert len(traces._pending) == 10_000
    assert image_id(refs[-1]) in traces._pending
    assert image_id(refs[0]) not in traces._pending


def test_what_an_image_was_listed_for_before_is_no_part_of_its_way() -> None:
    ref = ImageRef("s3", "bucket", "1.jpg", "v", 1)
    with traced_images() as (traces, exporter):
        for started_s in (100.0, 200.0, 300.0):
            traces.note_listing([ref], StageSpan("list", started_s, 1.0))
        traces.note_written([WrittenImage(ref, "done", 2)], StageSpan("write", 310.0, 1.0))
        spans = exporter.get_finished_spans()
    (root,) = roots(spans)
    assert [span.name for span in stages(spans, root)] == ["list", "write"]
    assert (root.start_time, root.end_time) == (300 * 10**9, 311 * 10**9)


def test_no_image_is_traced_with_a_share_of_nothing(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 2)
    with traced_images(0.0) as (traces, exporter):
        ingest_traced(tmp_path / "images", fakes.settings(tmp_path / "index"), traces)
        assert exporter.get_finished_spans() == ()


def test_a_search_of_the_service_is_one_trace(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    with served(tmp_path) as client, open_tracer(SimpleSpanProcessor(exporter)) as tracer:
        client.app.state.service.traces = SearchTraces(tracer, 1.0)  # type: ignore[attr-defined]
        query = {"positive": [{"text": "red"}]}
        assert client.post("/v1/search", json=query).status_code == 200
        spans = exporter.get_finished_spans()
    (root,) = roots(spans)
    assert root.name == "search"
    below = stages(spans, root)
    assert [span.name for span in below] == ["embed", "index", "judge"]
    assert root.start_time == below[0].start_time
    assert all(
        abs((span.end_time or 0) - (after.start_time or 0)) < 1000
        for span, after in pairwise(below)
    )


def test_spans_leave_the_process_by_otlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportTraceServiceRequest] = []
    lock = threading.Lock()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *values: object) -> None:
            return

    fakes.write_images(tmp_path / "images", 3)
    settings = fakes.settings(tmp_path / "index")
    options = ObserveOptions(traces="otlp", trace_share=1.0)
    settings = settings.model_copy(update={"observe": options})
    with running_server(Collector) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    names = [
        span.name
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(names) == sorted(3 * ["image", *WAY])


def test_without_its_libraries_a_trace_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pipeline.observing.traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    import pipeline.observing

    monkeypatch.delattr(pipeline.observing, "traces")
    with (
        pytest.raises(UsageError, match="expected OpenTelemetry to be installed"),
        observe(ObserveOptions(traces="otlp")),
    ):
        pass
