"""The bench of object storage counts rounds, recall, and rankings that are equal."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
from support.loopback_server import running_server

from bench.object_storage.proxy import running_proxy
from bench.object_storage.traffic import Request, Traffic, count_rounds
from bench.object_storage.truth import NearestRows, equal_share, recall


def _request(began_s: float, ended_s: float, received: int = 0) -> Request:
    return Request("GET", "/key", began_s, ended_s, 0, received)


@pytest.mark.parametrize(
    ("times", "rounds"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (0.5, 1.5), (0.9, 3)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(2, 3), (0, 1), (0, 1.5), (1.2, 1.9)], 3),
        ([(0, 10), (1, 2), (3, 4), (5, 6)], 3),
    ],
)
def test_rounds_are_the_longest_chain(times: list[tuple[float, float]], rounds: int) -> None:
    assert count_rounds([_request(*each) for each in times]) == rounds


def test_traffic_adds_up() -> None:
    log = [_request(0, 1, 1_000_000), _request(2, 3, 500_000)]
    assert Traffic.of(log) == Traffic(2, 2, 1.5)


def test_recall_leaves_out_queries_without_an_answer() -> None:
    exact = [[("a", 1.0), ("b", 0.9)], [], [("c", 1.0)]]
    found = [[("b", 0.9), ("x", 0.8)], [("y", 0.1)], [("c", 1.0)]]
    assert recall(found, exact) == pytest.approx(0.75)


def test_rankings_are_equal_whichever_of_a_tie_comes_first() -> None:
    exact = [[0.9, 0.8, 0.8], [0.5], [0.7, 0.6], [0.7]]
    found = [[0.9, 0.8, 0.8], [0.4], [0.6, 0.7], []]
    assert equal_share(found, exact) == 0.25


def test_first_of_batches_are_the_first_of_all() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((50, 3)).astype(np.float32)
    best = NearestRows(4, 3)
    for start in range(0, 50, 7):
        rows = np.arange(start, min(start + 7, 50))
        best.add(scores[rows], rows)
    for query in range(3):
        expected = np.argsort(-scores[:, query])[:4].tolist()
        assert [row for row, _ in best.of(query)] == expected


@contextmanager
def _echo() -> Iterator[str]:
    """A server that answers a PUT with its body, and a GET with its path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(self.path.encode())

        def do_PUT(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with running_server(Handler) as endpoint:
        yield endpoint


def test_the_proxy_hands_on_and_tells_what_was_asked() -> None:
    body = bytes(range(256)) * 2000
    with _echo() as behind, running_proxy(behind) as proxy:
        with urllib.request.urlopen(f"{proxy.url}/a?b=c") as answer:
            assert answer.read() == b"/a?b=c"
        request = urllib.request.Request(f"{proxy.url}/large", data=body, method="PUT")
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == body
        proxy.set_latency(20)
        with urllib.request.urlopen(f"{proxy.url}/late") as answer:
            assert answer.read() == b"/late"
        log = proxy.take_log()
        assert proxy.take_log() == []
    assert [(each.method, each.path) for each in log] == [
        ("GET", "/a?b=c"), ("PUT", "/large"), ("GET", "/late"),
    ]  # fmt: skip
    assert [(each.sent_bytes, each.received_bytes) for each in log] == [
        (0, 6), (len(body), len(body)), (0, 5),
    ]  # fmt: skip
    assert log[2].ended_s - log[2].began_s >= 0.02
