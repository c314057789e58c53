"""Metrics of a job where Prometheus gets them: at a port of the job, or from a gateway."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import fakes
from support.loopback_server import running_server
from support.metric_samples import read_samples

from pipeline.jobs.ingest import ingest
from pipeline.observing.exports import push_metrics, serve_metrics
from pipeline.observing.ingest_metrics import IngestMetrics
from pipeline.settings import load_settings
from schemas.errors import UsageError
from schemas.observe_options import ObserveOptions


def test_a_job_serves_its_metrics_while_it_runs() -> None:
    metrics = IngestMetrics()
    metrics.note_listed(7)
    with serve_metrics(metrics.registry, ObserveOptions(metrics_port=0)) as address:
        assert address is not None
        host, port = address
        answer = httpx.get(f"http://{host}:{port}/metrics")
        assert read_samples(answer.text)["objseek_ingest_listed_images_total"] == 7
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{host}:{port}/metrics")


def test_a_job_can_be_scraped_from_within_its_run(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = fakes.settings(tmp_path / "index")
    observe = ObserveOptions(metrics_port=port)
    settings = settings.model_copy(update={"observe": observe})
    scraped: list[str] = []

    def read(refs: Any, inner: Callable[[Any], Any]) -> Any:
        scraped.append(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        return inner(refs)

    recipe = fakes.recipe(settings)
    recipe = replace(recipe, reader=partial(read, inner=recipe.reader))
    ingest([str(tmp_path / "images")], settings, recipe=recipe)
    samples = read_samples(scraped[0])
    assert samples['objseek_ingest_chunks{state="working"}'] == 1
    assert samples["objseek_ingest_workers"] == 1


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = fakes.settings(tmp_path / "index")
        settings = settings.model_copy(update={"observe": ObserveOptions(metrics_port=port)})
        with pytest.raises(UsageError) as caught:
            ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    assert str(caught.value) == (
        f"metrics cannot be served at 127.0.0.1:{port} (observe.metrics_host, "
        "observe.metrics_port): Address already in use"
    )


def test_a_gateway_that_is_no_url_is_one_sentence() -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(None, {"observe": {"push_gateway": "pushgateway:9091"}})
    assert str(caught.value) == (
        "setting observe.push_gateway: expected a URL such as http://pushgateway:9091, got "
        "'pushgateway:9091'"
    )


def gateway(pushed: list[tuple[str, bytes]], status: int = 200) -> AbstractContextManager[str]:
    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pushed.append((self.path, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *values: object) -> None:
            return

    return running_server(Gateway)


def pushing(metrics: IngestMetrics, **options: object) -> AbstractContextManager[None]:
    return push_metrics(metrics.registry, ObserveOptions.model_validate(options))


def test_metrics_are_pushed_at_the_end_under_the_name_of_the_machine() -> None:
    metrics, pushed = IngestMetrics(), list[tuple[str, bytes]]()
    with gateway(pushed) as url, pushing(metrics, push_gateway=url):
        metrics.note_listed(3)
    (path, body), *more = pushed
    assert not more
    assert path == f"/metrics/job/objseek_ingest/instance/{socket.gethostname()}"
    assert read_samples(body.decode())["objseek_ingest_listed_images_total"] == 3


def test_metrics_are_pushed_again_and_again() -> None:
    metrics, pushed = IngestMetrics(), list[tuple[str, bytes]]()
    waiting = threading.Event()
    with gateway(pushed) as url, pushing(metrics, push_gateway=url, push_every_s=0.01):
        while len(pushed) < 3:
            waiting.wait(0.01)
    assert len(pushed) >= 4


def test_a_gateway_that_is_away_ends_no_job(caplog: pytest.LogCaptureFixture) -> None:
    with gateway([], status=500) as url, pushing(IngestMetrics(), push_gateway=url):
        pass
    (record,) = caplog.records
    assert record.getMessage().startswith("metrics cannot be pushed (observe.push_gateway): ")
