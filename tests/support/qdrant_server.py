"""A stand-in for a Qdrant server in experiments with faults; for nothing else.

It answers the part of Qdrant's REST API that the index of a server uses, from qdrant-client's own
engine in memory, and can be stopped in the middle of a request: like a process that is killed it
applies a part, answers nothing, resets its connections, is away for a while, and comes back with
what it had. Its engine is slow and has no payload indexes.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic_core import to_jsonable_python
from qdrant_client import QdrantClient
from support.kept_settings import KeptSettings
from support.qdrant_answers import (
    NEWEST,
    RefusedError,
    Request,
    as_version,
    half_of,
    result_of,
)

BEHIND = "behind/qdrant"
"""A path at which the server is as well, as behind a proxy."""
_HOST = "127.0.0.1"
# Closing a socket then throws away what was not sent, and resets the connection.
_RESET = struct.pack("ii", 1, 0)


class Write(StrEnum):
    """A request that changes points."""

    UPSERT = "upsert"
    DELETE = "delete"


class Moment(StrEnum):
    """How much of a write has been applied when the server stops."""

    BEFORE = "before"
    HALF = "half"
    UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Outage:
    """Stop at the next `write` but `skip`, and come back after `away_s`, None: when started."""

    write: Write
    moment: Moment
    away_s: float | None
    skip: int = 0


class StoppedError(Exception):
    """The server stops here, whatever it was at."""


_WRITES = {"PUT /points": Write.UPSERT, "POST /points/delete": Write.DELETE}


class QdrantServer:
    """A server on loopback at one port; its collections outlive its stops."""

    def __init__(self, version: str = NEWEST) -> None:
        """`version` is what it says of itself, and what it knows: see `as_version`."""
        self.version = version
        self.requests: list[Request] = []
        self._engine = QdrantClient(":memory:")
        self._settings = KeptSettings()
        self._lock = threading.Lock()
        self._planned: list[Outage] = []
        self._listener: _Listener | None = None
        self._return: threading.Timer | None = None
        self.stops = 0
        # Keeps the port from others while the server is away.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind((_HOST, 0))
        self.url = f"http://{_HOST}:{self._held.getsockname()[1]}"
        self.start()

    def plan(self, outage: Outage) -> None:
        """Have an outage when those that were planned before are over."""
        self._planned.append(outage)

    @property
    def planned(self) -> int:
        """How many outages are still to come."""
        return len(self._planned)

    def make_collection(
        self, name: str, vectors: dict[str, Any], sparse_vectors: dict[str, Any]
    ) -> None:
        """Have a collection that was made by somebody else, or long ago."""
        with self._lock:
            self._engine.create_collection(
                name, vectors_config=vectors, sparse_vectors_config=sparse_vectors
            )

    def start(self) -> None:
        """Answer from now on."""
        self._listener = _Listener(self._held.getsockname(), self.answer, self.version)

    def stop(self) -> None:
        """Be killed: connections are reset, and none is taken from now on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.kill()

    def close(self) -> None:
        """End for good."""
        if self._return is not None:
            self._return.join()
        self.stop()
        self._held.close()
        self._engine.close()

    def answer(self, request: Request) -> Any:
        """The result of a request. Raises LookupError for one that is not served, StoppedError."""
        # The engine is not made for threads.
        with self._lock:
            self.requests.append(request)
            request = as_version(request, self.version)
            outage = self._due(request)
            if outage is None:
                done = result_of(self._engine, request)
                return self._settings.after(
                    request.operation, request.collection, request.body, done
                )
            if outage.moment is Moment.HALF:
                result_of(self._engine, half_of(self._engine, request))
            elif outage.moment is Moment.UNANSWERED:
                result_of(self._engine, request)
            self.stop()
            self.stops += 1
            if outage.away_s is not None:
                self._return = threading.Timer(outage.away_s, self.start)
                self._return.start()
            raise StoppedError

    def _due(self, request: Request) -> Outage | None:
        write = _WRITES.get(request.operation)
        if not self._planned or self._planned[0].write is not write:
            return None
        outage = self._planned.pop(0)
        if outage.skip:
            self._planned.insert(0, replace(outage, skip=outage.skip - 1))
            return None
        return outage


class _Listener(ThreadingHTTPServer):
    """One life of a server."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], answer: Callable[[Request], Any], version: str
    ) -> None:
        super().__init__(address, _Handler)
        self.version = version
        self.answer = answer
        self.dead = False
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def kill(self) -> None:
        self.dead = True
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                # Wakes the thread that waits for its next request; it closes the connection.
                connection.shutdown(socket.SHUT_RD)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        # The usual one says goodbye first.
        self._open.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is none of the server's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: in two, each would wait for the other's confirmation.
    wbufsize = -1
    server: _Listener

    def do_GET(self) -> None:
        self._do()

    def do_PUT(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_PATCH(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/").removeprefix(BEHIND).strip("/")
        named = re.fullmatch(r"collections/(?!aliases$)([^/]+)/?(.*)", path)
        collection, tail = named.groups() if named else ("", path)
        body = json.loads(content) if content else {}
        request = Request(collection, f"{self.command} /{tail}", body)
        try:
            if path or not self.server.version:
                result = self.server.answer(request)
                status, answer = 200, {"result": result, "status": "ok"}
            else:
                title = "qdrant - vector search engine"
                status, answer = 200, {"title": title, "version": self.server.version}
        except RefusedError as exc:
            status, answer = exc.status, {"status": {"error": str(exc)}}
        except LookupError as exc:
            status, answer = 404, {"status": {"error": str(exc)}}
        except StoppedError:
            status, answer = 0, {}
        if self.server.dead:
            self.close_connection = True
            return
        reply = json.dumps(to_jsonable_python({**answer, "time": 0.0})).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def qdrant_server(version: str = NEWEST) -> Iterator[QdrantServer]:
    """An empty server of a version; empty: it does not tell."""
    server = QdrantServer(version)
    try:
        yield server
    finally:
        server.close()
