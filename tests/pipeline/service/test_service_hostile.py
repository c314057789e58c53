"""Requests that mean no good: every one is refused properly, and nothing secret is ever read.

Over real sockets, as a client of our own making would not send most of them.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Message
from support.colour_world import NAME
from support.service_world import OWNER, AnyTextEmbedder, SquareSegmenter, settings_of
from support.waiting import PATIENCE_S

from pipeline.search.searcher import Searcher
from pipeline.service.api_keys import KeyFile, Scope
from pipeline.service.app import build_app
from workers.indexes.open import open_index

CANARY = "canary-4f1c"
MARKUP = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Place:
    """A service that is listening, its folder, and the keys that it knows."""

    url: str
    port: int
    folder: Path
    reader: str
    expired: str
    app: FastAPI


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving(tmp_path_factory.mktemp("hostile"), body_timeout_s=PATIENCE_S) as opened:
        yield opened


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Place]:
    """One that gives a body hardly any time."""
    with serving(tmp_path, body_timeout_s=0.2) as opened:
        yield opened


@contextmanager
def serving(folder: Path, body_timeout_s: float) -> Iterator[Place]:
    (folder / "canary.txt").write_text(CANARY)
    keys = KeyFile(folder / "keys.json")
    _, reader = keys.create(f"reader {MARKUP}", Scope.READ, days=1)
    _, expired = keys.create("late", Scope.READ, days=-1)
    settings = settings_of(
        folder, keys=str(folder / "keys.json"), body_timeout_s=body_timeout_s, max_body_kb=64,
        max_upload_mb=1, cors_origins=["https://friend.example"],
    )  # fmt: skip
    searcher = Searcher(open_index(settings.index, None), AnyTextEmbedder(NAME), settings)
    searcher.models._segmenter = SquareSegmenter()
    app = build_app(searcher, settings, OWNER)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", http="h11", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Place(f"http://127.0.0.1:{port}", port, folder, reader, expired, app)
    server.should_exit = True
    thread.join()
    listener.close()


def ask(place: Place, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {place.reader}", **more.pop("headers", {})}
    with httpx.Client(base_url=place.url, timeout=PATIENCE_S, trust_env=False) as client:
        return client.request(method, path, headers=headers, **more)


def check(answer: httpx.Response, *statuses: int) -> None:
    """A problem document of one of these statuses, that repeats nothing dangerous."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert CANARY not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def deep(levels: int) -> str:
    return '{"text": ' + "[" * levels + "]" * levels + "}"


BODIES: dict[str, tuple[str | bytes, int]] = {
    "no json": ("{", 400),
    "no object": ("[]", 422),
    "a text": ('"red"', 422),
    "null": ("null", 422),
    "nothing to look for": ("{}", 422),
    "an unknown field": ('{"text": "red", "colour": "red"}', 422),
    "nested 33": (deep(33), 400),
    "nested 30,000": (deep(30_000), 400),
    "braces nested": ('{"a":' * 500 + "1" + "}" * 500, 400),
    "half a surrogate pair": ('{"text": "red \\ud800"}', 400),
    "half a surrogate pair in a filter": (
        '{"text": "red", "conditions": [{"field": "key", "op": "=", "value": "\\udfff"}]}', 400,
    ),
    "a key that is half a pair": ('{"\\ud800": 1}', 400),
    "no utf-8": (b'{"text": "\xff\xfe"}', 400),
    "NaN": ('{"text": "red", "min_score": NaN}', 400),
    "Infinity": ('{"text": "red", "min_score": Infinity}', 400),
    "a number beyond floats": ('{"text": "red", "min_score": 1e999}', 422),
    "limit 0": ('{"text": "red", "limit": 0}', 422),
    "limit -1": ('{"text": "red", "limit": -1}', 422),
    "limit 10^9": ('{"text": "red", "limit": 1000000000}', 422),
    "a limit of 400 digits": ('{"text": "red", "limit": ' + "9" * 400 + "}", 422),
    "a limit of 5,000 digits": ('{"text": "red", "limit": ' + "9" * 5000 + "}", 400),
    "limit 1.5": ('{"text": "red", "limit": 1.5}', 422),
    "a limit that is a text": ('{"text": "red", "limit": "many"}', 422),
    "a blank text": ('{"text": "   "}', 422),
    "a long text": (json.dumps({"text": "a" * 1001}), 422),
    "a NUL as text and nothing else": ('{"text": "\\u0000"}', 200),
    "33 examples": (json.dumps({"positive": [{"text": "red"}] * 33}), 422),
    "65 conditions": (
        json.dumps({"text": "a", "conditions": [{"field": "key", "op": "=", "value": "x"}] * 65}),
        422,
    ),
    "a weight of 0": ('{"positive": [{"text": "red", "weight": 0}]}', 422),
    "a negative weight": ('{"positive": [{"text": "red", "weight": -1}]}', 422),
    "a path": ('{"positive": [{"path": "/etc/passwd"}]}', 422),
    "a file uri": ('{"positive": [{"path": "file:///etc/passwd"}]}', 422),
    "a url to fetch": ('{"positive": [{"url": "http://169.254.169.254/latest/meta-data"}]}', 422),
    "an image of another bucket": ('{"positive": [{"image_id": "s3://other/secret.jpg"}]}', 422),
    "an object id that climbs": ('{"positive": [{"object_id": "../../etc/passwd"}]}', 422),
    "an upload id that climbs": ('{"positive": [{"upload_id": "../../../etc/passwd"}]}', 422),
    "markup as an id": (json.dumps({"positive": [{"object_id": MARKUP}]}), 422),
    "a box that is turned over": (
        json.dumps({"positive": [{"image_id": "IMAGE", "box_xyxy": [50, 50, 10, 10]}]}), 422,
    ),
    "a box outside": (
        json.dumps({"positive": [{"image_id": "IMAGE", "box_xyxy": [0, 0, 10**9, 10**9]}]}), 422,
    ),
    "a point outside": (
        json.dumps({"positive": [{"image_id": "IMAGE", "point_xy": [-5, 1e9]}]}), 422,
    ),
    "a box and a point": (
        json.dumps(
            {"positive": [{"image_id": "IMAGE", "box_xyxy": [0, 0, 5, 5], "point_xy": [1, 1]}]}
        ),
        422,
    ),
    "an unknown filter field": (
        '{"text": "a", "conditions": [{"field": "__class__", "op": "=", "value": 1}]}', 422,
    ),
    "an unknown operator": (
        '{"text": "a", "conditions": [{"field": "key", "op": "$ne", "value": "x"}]}', 422,
    ),
    "a filter value that is an object": (
        '{"text": "a", "conditions": [{"field": "key", "op": "=", "value": {"$gt": ""}}]}', 422,
    ),
    "a number of 400 digits in a filter": (
        '{"text": "a", "conditions": [{"field": "area", "op": "<", "value": ' + "9" * 400 + "}]}",
        422,
    ),
    "a cursor that is none": ('{"text": "red", "cursor": "AAAA"}', 422),
    "a cursor of other letters": ('{"text": "red", "cursor": "\\u00e9\\u00e9"}', 422),
    "a cursor that goes on for ever": (json.dumps({"text": "a", "cursor": "A" * 40_000}), 422),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_query(place: Place, name: str) -> None:
    body, status = BODIES[name]
    raw = body if isinstance(body, bytes) else body.encode()
    if b"IMAGE" in raw:
        found = ask(place, "POST", "/v1/search", json={"text": "red"}).json()["hits"][0]
        raw = raw.replace(b"IMAGE", found["payload"]["image_id"].encode())
    answer = ask(
        place, "POST", "/v1/search", content=raw, headers={"Content-Type": "application/json"}
    )
    if status == 200:
        assert answer.status_code == 200
    else:
        check(answer, status)
        assert MARKUP not in answer.text


NO_OBJECT, NO_IMAGE = f"/v1/objects/{uuid.UUID(int=1)}", f"/v1/images/{uuid.UUID(int=1)}"


def headers_of(**headers: Any) -> dict[str, Any]:
    """Headers, with dashes for underscores."""
    return {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}


REQUESTS: dict[str, tuple[str, str, dict[str, Any], tuple[int, ...]]] = {
    "no such address": ("GET", "/v1/secrets", {}, (404,)),
    "no such method": ("PUT", "/v1/search", {"json": {}}, (405,)),
    "trace": ("TRACE", "/", {}, (405,)),
    "a path that climbs": ("GET", "/static/../../../../etc/passwd", {}, (404,)),
    "a path that climbs, encoded": ("GET", "/static/%2e%2e/%2e%2e/keys.json", {}, (404,)),
    "a path that climbs, twice encoded": ("GET", "/static/%252e%252e/canary.txt", {}, (404,)),
    "a path with a NUL": ("GET", "/static/app.js%00.html", {}, (404,)),
    "an absolute path": ("GET", "/static//etc/passwd", {}, (404,)),
    "a backslash": ("GET", "/static/..%5c..%5ccanary.txt", {}, (404,)),
    "the widgets climbed out of": ("GET", "/docs/widgets/../../app.py", {}, (404,)),
    "an id that climbs": ("GET", "/v1/objects/..%2f..%2fcanary.txt", {}, (404, 422)),
    "an id that is a uri": ("GET", "/v1/images/s3:%2f%2fother%2fx.jpg/preview.jpg", {}, (404, 422)),
    "an id that is markup": ("GET", f"/v1/objects/{MARKUP.replace('/', '%2f')}", {}, (404, 422)),
    "an id of nothing": ("GET", NO_OBJECT, {}, (404,)),
    "a crop of nothing": ("GET", f"{NO_OBJECT}/crop.jpg?size=64", {}, (404,)),
    "a crop of no size": ("GET", f"{NO_OBJECT}/crop.jpg?size=0", {}, (422,)),
    "a crop of any size": ("GET", f"{NO_OBJECT}/crop.jpg?size=999999999", {}, (422,)),
    "a preview of no number": ("GET", f"{NO_IMAGE}/preview.jpg?size=NaN", {}, (422,)),
    "facets of an unknown field": ("GET", "/v1/facets?filter=__proto__%3D1", {}, (422,)),
    "facets without end": ("GET", "/v1/facets?limit=1000000000", {}, (422,)),
    "facets of 65 filters": ("GET", "/v1/facets?" + "&".join(["filter=key%3Dx"] * 65), {}, (422,)),
    "facets of half a pair": ("GET", "/v1/facets?filter=key%3D%ED%A0%80%00", {}, (200, 422)),
    "an upload of no image": ("POST", "/v1/uploads", {"content": b"GIF89a no"}, (422,)),
    "an upload of markup": ("POST", "/v1/uploads", {"content": b"<svg onload='x()'/>"}, (422,)),
    "an upload of nothing": ("POST", "/v1/uploads", {"content": b""}, (422,)),
    "an upload that is too large": ("POST", "/v1/uploads", {"content": b"x" * (2**20 + 1)}, (413,)),
    "a body that is too large": ("POST", "/v1/search", {"content": b" " * 65_537}, (413,)),
    "a packed body": (
        "POST", "/v1/search",
        {"content": b"x", "headers": {"Content-Encoding": "gzip"}}, (415,),
    ),
    "a body that is no json": (
        "POST", "/v1/search",
        {"content": b'{"text":"a"}', "headers": {"Content-Type": "text/plain"}}, (422,),
    ),
    "257 queries": (
        "POST", "/v1/search/batch", {"json": {"queries": [{"text": "a"}] * 257}}, (422,),
    ),
    "no key": ("GET", "/v1/stats", headers_of(Authorization=""), (401,)),
    "another scheme": ("GET", "/v1/stats", headers_of(Authorization="Basic eDp5"), (401,)),
    "a wrong key": ("GET", "/v1/stats", headers_of(Authorization="Bearer objseek_x"), (401,)),
    "an expired key": ("GET", "/v1/stats", headers_of(Authorization="Bearer EXPIRED"), (401,)),
    "a key that is no text": (
        "GET", "/v1/stats", headers_of(Authorization=b"Bearer \xff\xfe"), (401,),
    ),
    "a key in the address": ("GET", "/v1/stats?key=READER", headers_of(Authorization=""), (401,)),
    "another's ingest": ("POST", "/v1/ingest", {"json": {"sources": ["/etc"]}}, (403,)),
    "an ingest ended by a reader": ("DELETE", "/v1/ingest", {}, (403,)),
    "a foreign origin": ("GET", "/v1/stats", headers_of(Origin="https://evil.example"), (403,)),
    "a null origin": ("GET", "/v1/stats", headers_of(Origin="null"), (403,)),
    "an origin that begins like ours": (
        "GET", "/v1/stats", headers_of(Origin="http://127.0.0.1.evil.example"), (403,),
    ),
    "a foreign page's picture": (
        "GET", "/v1/stats",
        {"headers": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}}, (403,),
    ),
    "a name that is rebound": ("GET", "/v1/stats", headers_of(Host="evil.example"), (421,)),
    "a preflight from elsewhere": (
        "OPTIONS", "/v1/search",
        {"headers": {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}},
        (403,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request(place: Place, name: str) -> None:
    method, path, more, statuses = REQUESTS[name]
    headers = {
        key: value.replace("EXPIRED", place.expired) if isinstance(value, str) else value
        for key, value in more.get("headers", {}).items()
    }
    path = path.replace("READER", place.reader)
    answer = ask(place, method, path, **{**more, "headers": headers})
    if answer.status_code == 200:
        assert 200 in statuses
    else:
        check(answer, *statuses)
        assert MARKUP not in answer.text
    if 401 in statuses:
        assert answer.headers["www-authenticate"] == "Bearer"


def raw(place: Place, *parts: bytes, wait_s: float = PATIENCE_S) -> bytes:
    """What comes back for bytes as they are, until the service closes or for so long."""
    with socket.create_connection(("127.0.0.1", place.port), timeout=wait_s) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
            while chunk := connection.recv(65_536):
                received += chunk
        except (ConnectionError, TimeoutError):
            pass
        return received


def head(place: Place, *lines: str) -> bytes:
    first = ["POST /v1/search HTTP/1.1", f"Host: 127.0.0.1:{place.port}"]
    key = f"Authorization: Bearer {place.reader}"
    return "\r\n".join([*first, key, "Content-Type: application/json", *lines, "", ""]).encode()


def test_a_length_that_promises_more_than_comes(impatient: Place) -> None:
    answer = raw(impatient, head(impatient, "Content-Length: 500"), b'{"text": "red"}')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in time" in answer


def test_a_length_that_promises_too_much(place: Place) -> None:
    answer = raw(place, head(place, "Content-Length: 99999999999"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_length_that_hides_a_second_request(place: Place) -> None:
    smuggled = b"GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n"
    both = head(place, "Content-Length: 5", "Transfer-Encoding: chunked")
    answer = raw(place, both, b"0\r\n\r\n", smuggled, wait_s=3)
    assert b"objects" not in answer
    twice = raw(place, head(place, "Content-Length: 5", "Content-Length: 50"), b"{}")
    assert twice.startswith(b"HTTP/1.1 400 ")
    negative = raw(place, head(place, "Content-Length: -5"), b"{}")
    assert negative.startswith(b"HTTP/1.1 400 ")


def test_a_body_that_trickles(impatient: Place) -> None:
    # Beneath HTTP: what still comes when the service has given up would reset the connection.
    sent: list[Message] = []

    async def trickle() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {impatient.reader}".encode())]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/search", "raw_path": b"/v1/search", "query_string": b"", "root_path": "",
        "headers": [*headers, (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", impatient.port),
    }  # fmt: skip
    asyncio.run(impatient.app(scope, trickle, send))
    assert sent[0]["status"] == 408


def test_a_body_in_endless_chunks(place: Place) -> None:
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    answer = raw(place, head(place, "Transfer-Encoding: chunked"), *([chunk] * 20))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")


def test_no_http_at_all(place: Place) -> None:
    for line in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        answer = raw(place, line, b"\r\n\r\n", wait_s=2)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))
    large = raw(place, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", wait_s=2)
    assert large == b"" or large.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


def test_a_friend_may_ask_from_another_origin(place: Place) -> None:
    friend = {"Origin": "https://friend.example"}
    answer = ask(place, "GET", "/v1/stats", headers=friend)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    preflight = ask(
        place, "OPTIONS", "/v1/search", headers={**friend, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in ask(place, "GET", "/v1/stats").headers


def test_it_still_answers_and_nothing_was_read(place: Place) -> None:
    answer = ask(place, "POST", "/v1/search", json={"text": "red"})
    assert answer.status_code == 200
    assert len(answer.json()["hits"]) == 4
    status = (place.folder / "canary.txt").stat()
    # Read times are kept where the file system keeps them at all; its text has never been told.
    assert status.st_size == len(CANARY)
