"""A real Prometheus scrapes an ingest and a service, and answers the dashboard and the alerts."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from support import fakes
from support.colour_world import NAME
from support.dashboard import ALERTS, alert_queries, panel_queries
from support.page_world import serving
from support.prometheus_server import (
    PROMETHEUS,
    Prometheus,
    free_port,
    promtool,
    running_prometheus,
    write_config,
)
from support.service_world import AnyTextEmbedder, settings_of
from support.waiting import until

from pipeline.jobs.ingest import ingest
from pipeline.observing.ingest_metrics import process_metrics
from pipeline.service.api_keys import KeyFile, Scope
from schemas.errors import StoreUnavailableError
from schemas.images import Decoded, ImageRef
from schemas.observe_options import ObserveOptions
from workers.backoff import Backoff

pytestmark = [
    pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus here"),
    pytest.mark.long,
]
_CHUNKS = 10
# The service of this process has its ingests' metrics as well.
_READ = 'objseek_ingest_stage_seconds_count{stage="read",job="objseek-ingest"}'
WITHOUT_DATA = {"GPU memory"}
"""Panels of what no machine of tests has."""


def test_the_alerts_are_rules(tmp_path: Path) -> None:
    assert "8 rules found" in promtool("check", "rules", str(ALERTS))
    targets = {"objseek-service": "service:8765", "objseek-ingest": "ingest:9464"}
    promtool("check", "config", str(write_config(tmp_path, targets, "key")))


def test_every_query_parses(tmp_path: Path) -> None:
    rules = [
        f'  - {{record: "q{number}", expr: {query.within("1m")!r}}}'
        for number, query in enumerate(panel_queries())
    ]
    path = tmp_path / "queries.yaml"
    path.write_text("\n".join(["groups:", "- name: queries", "  rules:", *rules]))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(path))


class _Gate:
    """Lets a reader go on with a chunk for each time that it is opened."""

    def __init__(self) -> None:
        self._chunks = threading.Semaphore(2)

    def open(self, chunks: int) -> None:
        self._chunks.release(chunks)

    def read(
        self, refs: Sequence[ImageRef], inner: Callable[[Sequence[ImageRef]], list[Decoded]]
    ) -> list[Decoded]:
        self._chunks.acquire()
        failures = iter([StoreUnavailableError("away")])

        def act() -> list[Decoded]:
            for failure in failures:
                raise failure
            return inner(refs)

        return Backoff(60.0, first_s=0.0, kind="store").retry(act, "a chunk")


@contextmanager
def half_done_ingest(folder: Path, port: int) -> Iterator[_Gate]:
    """An ingest that is scraped at `port`, and does two chunks before it needs its gate opened."""
    images = folder / "images"
    fakes.write_images(images, 16)
    (images / "000bad.png").write_bytes(b"no image")
    fakes.write_image(images / "001poisoned.png", 3, fakes.POISON)
    settings = fakes.settings(folder / "ingested")
    settings = settings.model_copy(update={"observe": ObserveOptions(metrics_port=port)})
    gate, recipe = _Gate(), fakes.recipe(settings, "error")
    recipe = replace(recipe, reader=partial(gate.read, inner=recipe.reader))
    thread = threading.Thread(target=ingest, args=([str(images)], settings, None, recipe))
    thread.start()
    try:
        yield gate
    finally:
        gate.open(_CHUNKS)
        thread.join()


def count_read() -> float:
    """How many chunks the ingests of this process have read: a process counts them together."""
    name = "objseek_ingest_stage_seconds_count"
    return process_metrics().registry.get_sample_value(name, {"stage": "read"}) or 0.0


def wait_for(prometheus: Prometheus, series: str, samples: int = 2) -> None:
    """Return when the latest samples of `series` are enough for a rate."""
    until(lambda: max(prometheus.query(f"count_over_time({series}[1m])"), default=0) >= samples)


def ask(url: str, key: str) -> None:
    """A search that is answered, and one that is refused."""
    headers = {"Authorization": f"Bearer {key}"}
    query = {"positive": [{"text": "red"}]}
    answer = httpx.post(f"{url}/v1/search", json=query, headers=headers)
    assert answer.status_code == 200, answer.text
    assert httpx.post(f"{url}/v1/search", json={"k": "?"}, headers=headers).status_code == 422


def test_the_dashboard_shows_a_run_and_a_service(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    _, key = KeyFile(keys).create("prometheus", Scope.READ, None)
    settings, port, before = settings_of(tmp_path, keys=str(keys)), free_port(), count_read()
    with (
        serving(settings, embedder=AnyTextEmbedder(NAME)) as url,
        half_done_ingest(tmp_path, port) as gate,
    ):
        served = url.removeprefix("http://")
        targets = {"objseek-service": served, "objseek-ingest": f"127.0.0.1:{port}"}
        config = write_config(tmp_path, targets, key)
        ask(url, key)
        with running_prometheus(tmp_path, config) as prometheus:
            wait_for(prometheus, 'objseek_request_seconds_count{route="/v1/search"}', 1)
            ask(url, key)
            wait_for(prometheus, "objseek_ingest_failures_total")
            wait_for(prometheus, 'objseek_request_seconds_count{route="/v1/search"}', 8)
            gate.open(1)
            until(lambda: prometheus.query(_READ) == [before + 3])
            _check_panels(prometheus)
            _check_alerts(prometheus)
            assert sorted(prometheus.query("up")) == [1, 1]
            assert prometheus.query('sum(objseek_ingest_chunks{job="objseek-ingest"})') == [1]


def _check_panels(prometheus: Prometheus) -> None:
    without = {
        query.title
        for query in panel_queries()
        if not any(map(math.isfinite, prometheus.query(query.within("1m"))))
    }
    assert without == WITHOUT_DATA


def _check_alerts(prometheus: Prometheus) -> None:
    for query in alert_queries():
        prometheus.query(query.expr)
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in rules} == {
        query.title: "ok" for query in alert_queries()
    }
