"""An S3 server on loopback that hands on to another; it hangs, or loses answers or conditions."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Literal
from urllib.parse import urlsplit

from support.loopback_server import running_server

_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}
Fault = Literal["hang", "lose", "keep"]
"""It never comes to the server behind; its answer is lost; its answer is waited for for ever."""


@dataclass
class S3Relay:
    """What went through, in its order, and what goes wrong with which of it.

    `faults` are of the n-th request since `restart`, counted from 1. With `forgets_conditions` the
    server behind sees no `If-None-Match`.
    """

    behind: str
    forgets_conditions: bool = False
    endpoint_url: str = ""
    requests: list[str] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when a request has gone wrong."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def restart(self, faults: dict[int, Fault] | None = None) -> None:
        """Count from here on, with these faults."""
        with self._lock:
            self.requests, self.faults = [], dict(faults or {})
            self.reached.clear()

    def note(self, request: str) -> Fault | None:
        """Count a request; what is to go wrong with it."""
        with self._lock:
            self.requests.append(request)
            return self.faults.pop(len(self.requests), None)

    def note_fault(self) -> None:
        self.reached.set()

    def wait_until_closed(self) -> None:
        self._closed.wait()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """Answer nobody from here on, as if the server had gone."""
        self._closed.set()


@contextmanager
def relaying(behind: str, *, forgets_conditions: bool = False) -> Iterator[S3Relay]:
    """A relay before the server at `behind`, at its `endpoint_url`."""
    relay = S3Relay(behind, forgets_conditions)

    class Handler(_Handler):
        pass

    Handler.relay = relay
    with running_server(Handler) as relay.endpoint_url:
        try:
            yield relay
        finally:
            relay.close()


class _Handler(BaseHTTPRequestHandler):
    relay: S3Relay
    protocol_version = "HTTP/1.1"

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.relay.is_closed:
            self._reset()
            return
        fault = self.relay.note(f"{self.command} {self.path}")
        status, headers, answer = (0, [], b"") if fault == "hang" else self._ask(body)
        if fault is not None:
            self.relay.note_fault()
            if fault != "lose":
                self.relay.wait_until_closed()
            self._reset()
            return
        with suppress(ConnectionError):  # a client that waits no longer
            self._send(status, headers, answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server behind says."""
        headers = dict(self.headers)
        if self.relay.forgets_conditions:
            headers = {
                name: value for name, value in headers.items() if name.lower() != "if-none-match"
            }
        connection = http.client.HTTPConnection(urlsplit(self.relay.behind).netloc)
        try:
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = len(body)
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = int(value)
            elif name.lower() not in _HOP:
                self.send_header(name, value)
        if status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        # Closed at once: the other side gets a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass
