"""A service that is stopped while models load: those who wait are answered, and no traceback."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from support.colour_world import NAME
from support.service_world import OWNER, AnyTextEmbedder, settings_of
from support.waiting import PATIENCE_S, until

from pipeline.search.searcher import Searcher
from pipeline.service import server as service_server
from pipeline.service.app import build_app
from schemas.masks import ObjectMask
from workers.indexes.open import open_index


@dataclass
class SlowModels:
    """Models that are loaded when they are told to."""

    begun: threading.Event = field(default_factory=threading.Event)
    loads: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    used: list[tuple[int, ...]] = field(default_factory=list)

    def load(self) -> SlowModels:
        self.loads += 1
        self.begun.set()
        assert self.ready.wait(PATIENCE_S)
        return self

    def segment_at(self, image: np.ndarray, point_xy: tuple[float, float]) -> None:
        self.used.append(image.shape)

    def segment(self, images: list[np.ndarray]) -> list[list[ObjectMask]]:
        return [[] for _ in images]


@dataclass
class Place:
    """A service on loopback; `stop` has it stopped, as a signal does."""

    url: str
    port: int
    server: uvicorn.Server
    models: SlowModels
    thread: threading.Thread
    service: object

    def upload(self) -> httpx.Response:
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "PNG")
        return httpx.post(
            f"{self.url}/v1/uploads", content=buffer.getvalue(), timeout=PATIENCE_S,
            trust_env=False,
        )  # fmt: skip

    def search(self, query: dict[str, object]) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/search", json=query, timeout=PATIENCE_S, trust_env=False)

    def stop(self) -> None:
        self.server.should_exit = True


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    # uvicorn's own, so that what it prints reaches the log of the test.
    monkeypatch.setattr(service_server, "_LAST_ANSWERS_S", 0.1)
    with serving(tmp_path) as made:
        yield made


@contextmanager
def serving(folder: Path) -> Iterator[Place]:
    settings = settings_of(folder)
    searcher = Searcher(open_index(settings.index, None), AnyTextEmbedder(NAME), settings)
    models = SlowModels()
    searcher.models.segmenter = models.load  # type: ignore[method-assign]
    app = build_app(searcher, settings, OWNER)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        app, log_config=None, log_level="info", http="h11", lifespan="on",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = service_server._Server(config, app.state.service.queue)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    place = Place(f"http://127.0.0.1:{port}", port, server, models, thread, app.state.service)
    try:
        yield place
    finally:
        place.stop()
        models.ready.set()
        thread.join()
        listener.close()


def check_quiet(records: list[logging.LogRecord]) -> None:
    """Nothing was logged with a traceback."""
    assert [record.getMessage() for record in records if record.exc_info] == []


@pytest.mark.trials
def test_who_waits_for_models_is_answered_when_the_service_stops(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(4) as pool:
        assert place.models.begun.wait(PATIENCE_S)
        # What is there, only the segmenter knows.
        region = {"upload_id": place.upload().json()["upload_id"], "point_xy": [2, 2]}
        query: dict[str, object] = {"positive": [region]}
        searches: list[Future[httpx.Response]] = [
            pool.submit(place.search, query) for _ in range(2)
        ]
        queue = place.service.queue  # type: ignore[attr-defined]
        # Those two, the models that are loaded, the look at the upload, and upkeep.
        until(lambda: queue.waiting == 5)
        place.stop()
        for search in searches:
            answer = search.result()
            assert answer.status_code == 503
            assert answer.json()["detail"] == "the service is being stopped"
            assert answer.headers["Retry-After"] == "5"
        place.models.ready.set()
        place.thread.join()
    check_quiet(caplog.records)
    assert "Finished server process" in caplog.text


@pytest.mark.trials
def test_whoever_still_sends_when_the_service_stops_is_no_traceback(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        socket.create_connection(("127.0.0.1", place.port), timeout=PATIENCE_S) as sending,
    ):
        head = f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n"
        sending.sendall(f"{head}Content-Length: 100\r\n\r\nand no more".encode())
        until(lambda: bool(place.server.server_state.tasks))
        place.stop()
        place.models.ready.set()
        place.thread.join()
        answer = sending.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"the service is being stopped" in answer
    check_quiet(caplog.records)


@pytest.mark.trials
def test_a_service_that_loads_models_at_its_start_can_be_stopped(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        # Nobody has asked for anything.
        assert place.models.begun.wait(PATIENCE_S)
        place.stop()
        place.models.ready.set()
        place.thread.join()
    check_quiet(caplog.records)
    assert "Finished server process" in caplog.text


@pytest.mark.trials
def test_no_search_waits_for_models_that_it_does_not_need(place: Place) -> None:
    assert place.upload().status_code == 201
    assert place.models.begun.wait(PATIENCE_S)
    answer = place.search({"text": "red", "limit": 1})
    assert (answer.status_code, len(answer.json()["hits"])) == (200, 1)
    url = f"{place.url}/v1/stats"
    assert httpx.get(url, timeout=PATIENCE_S, trust_env=False).json()["images"] > 0
    assert not place.models.ready.is_set()
    assert place.models.used == []


@pytest.mark.trials
def test_models_are_loaded_once_for_all_uploads(place: Place) -> None:
    for _ in range(5):
        assert place.upload().status_code == 201
    assert place.models.begun.wait(PATIENCE_S)
    service = place.service
    assert place.models.loads == 1
    place.models.ready.set()
    until(lambda: not service.finder.is_busy)  # type: ignore[attr-defined]
    assert place.models.used == [(64, 64, 3)]
