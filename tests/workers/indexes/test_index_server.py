"""A server's address, and what is said when it is away, refuses, or holds something else."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from qdrant_client import QdrantClient
from support.index_cases import DIM, embedded, held, ids_of, options_for, unit
from support.qdrant_server import Moment, Outage, QdrantServer, Write, qdrant_server
from support.waiting import PATIENCE_S

from schemas.errors import (
    IndexMissingError,
    IndexUnavailableError,
    UsageError,
    VectorIndexError,
)
from schemas.options import IndexOptions
from schemas.points import IndexQuery
from workers.indexes.location import server_address
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex
from workers.indexes.server import opening as server_opening

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.mark.parametrize(
    ("location", "url", "collection"),
    [
        ("http://localhost:6333/objects", "http://localhost:6333", "objects"),
        ("https://q.example/my-objects_2/", "https://q.example:6333", "my-objects_2"),
        ("HTTPS://q.example:443/a", "https://q.example:443", "a"),
        ("http://[::1]:6333/a", "http://[::1]:6333", "a"),
        ("https://q.example/qdrant/photos", "https://q.example:443/qdrant", "photos"),
        ("http://q.example/a/b/photos/", "http://q.example:80/a/b", "photos"),
        ("http://q.example:6333/qdrant/photos", "http://q.example:6333/qdrant", "photos"),
    ],
)
def test_an_address_names_server_and_collection(location: str, url: str, collection: str) -> None:
    address = server_address(location)
    assert (address.url, address.collection) == (url, collection)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://localhost:6333", "it names no collection"),
        ("http://localhost:6333/", "it names no collection"),
        ("http:///objects", "it names no server"),
        ("http://localhost:6333/a//b", "'' cannot be a part of a server's path"),
        ("http://localhost:6333/a/../b", "'..' cannot be a part of a server's path"),
        ("http://localhost:6333/a%2Fb/c", "'a%2Fb' cannot be a part of a server's path"),
        ("http://localhost:6333/a/b:c", "'b:c' cannot be a collection's name"),
        ("http://localhost:6333/a?b=c", "nothing may follow the collection"),
        ("http://localhost:port/a", "Port could not be cast"),
        ("http://key@localhost:6333/a", "a key belongs into the setting api_key"),
    ],
)
def test_an_incomplete_address_is_one_sentence(location: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_index(options_for(location), DIM, create=True)
    expected = f"expected http(s)://host:6333/collection as index, got {location!r}: {why}"
    assert str(caught.value).startswith(expected)


def test_another_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="got 's3://bucket/index'"):
        open_index(options_for("s3://bucket/index"), DIM)


def test_a_server_that_is_away_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(IndexUnavailableError, match=f"at {url} does not answer") as caught:
            open_index(options_for(f"{url}/objects"), DIM)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, VectorIndexError, r"refused the API key \(401: Must provide a key\)"),
        (403, VectorIndexError, r"refused the API key \(403: "),
        (404, IndexMissingError, r"does not know the collection 'objects' \(404: "),
        (400, VectorIndexError, r"refused the request \(400: "),
        (503, IndexUnavailableError, r"failed \(503: "),
        (429, IndexUnavailableError, r"failed \(429: "),
    ],
)
def test_a_server_that_refuses_is_named(
    status: int, error: type[VectorIndexError], message: str
) -> None:
    paths = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"Must provide\na key")

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    options = IndexOptions(location=f"{url}/objects", api_key="secret", timeout_s=PATIENCE_S)
    try:
        with pytest.raises(error, match=message) as caught:
            open_index(options, DIM)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert url in str(caught.value)
    assert "secret" not in str(caught.value)
    # Whoever opens an index is told at once.
    assert paths == ["/collections/objects/exists"]


IMAGE = embedded("a.jpg", unit(0, 4))


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    with qdrant_server() as made:
        yield made


def opened(server: QdrantServer, retry_budget_s: float) -> PointIndex:
    location = f"{server.url}/objects"
    options = IndexOptions(location=location, timeout_s=PATIENCE_S, retry_budget_s=retry_budget_s)
    return server_opening.build(options, DIM, create=True)


@pytest.mark.parametrize(
    "ask",
    [
        lambda index: len(index.replace_images([embedded("b.jpg", unit(1, 2))])),
        lambda index: len(index.delete_images([uuid.uuid4()])),
        lambda index: index.delete_points([str(uuid.uuid4())]),
        lambda index: len(index.search(IndexQuery(unit(0, 1)[0], 3))),
        lambda index: len(index.stored([IMAGE.whole.object_id])),
        lambda index: len(list(index.scroll())),
        lambda index: index.info().points,
    ],
    ids=["replace_images", "delete_images", "delete_points", "search", "stored", "scroll", "info"],
)
def test_whatever_is_asked_while_a_server_restarts_is_answered(
    server: QdrantServer, ask: Callable[[PointIndex], object]
) -> None:
    with opened(server, retry_budget_s=60) as index:
        index.replace_images([IMAGE])
        expected = ask(index)
        server.stop()
        back = threading.Timer(0.1, server.start)
        back.start()
        assert ask(index) == expected
        back.join()


def test_without_a_budget_an_outage_is_told_at_once(server: QdrantServer) -> None:
    with opened(server, retry_budget_s=0) as index:
        index.replace_images([IMAGE])
        server.plan(Outage(Write.UPSERT, Moment.BEFORE, away_s=None))
        server.plan(Outage(Write.UPSERT, Moment.BEFORE, away_s=None))
        with pytest.raises(IndexUnavailableError, match="does not answer"):
            index.replace_images([IMAGE])
        server.start()
        assert server.planned == 1
        assert held(index) == ids_of(IMAGE)


def test_a_collection_of_someone_else_is_refused() -> None:
    from qdrant_client import models

    client = QdrantClient(":memory:")
    plain = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config=plain)
    with pytest.raises(UsageError, match="'theirs' at http://memory:6333 is no index of objseek"):
        server_opening.build(options_for("http://memory/theirs"), DIM, create=True, client=client)
    client.close()
