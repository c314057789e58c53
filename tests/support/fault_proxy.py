"""An S3 server on loopback that hands on to another, and at times does what it should not."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from support.loopback_server import running_server
from support.s3_server import error_reply

FAULTS = (
    "503", "500", "429", "expired token", "reset before the head", "reset in the body",
    "short body", "200 with an error", "200 with a page", "slow body",
)  # fmt: skip
_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}
_PAUSE_S = 0.2


class FaultProxy:
    """Counts what is asked of it, and fails a `share` of it until it has failed `most` times."""

    def __init__(self, behind: str, most: int = 0, share: float = 0.0, seed: int = 0) -> None:
        self._behind = urlsplit(behind).netloc
        self._chance = random.Random(seed)
        self._share = share
        self._most = most
        self._lock = threading.Lock()
        self.requests = 0
        self.faults: Counter[str] = Counter()

    def next_fault(self) -> str | None:
        """What is to go wrong with the request that has come, if anything."""
        with self._lock:
            self.requests += 1
            if self.faults.total() == self._most or self._chance.random() > self._share:
                return None
            fault = self._chance.choice(FAULTS)
            self.faults[fault] += 1
            return fault

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """What the server behind says."""
        connection = http.client.HTTPConnection(self._behind)
        try:
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            kept = {name: value for name, value in reply.getheaders() if name.lower() not in _HOP}
            return reply.status, kept, reply.read()
        finally:
            connection.close()


@contextmanager
def serving(proxy: FaultProxy) -> Iterator[str]:
    """The endpoint of `proxy`; it answers GET only."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fault = proxy.next_fault()
            with suppress(ConnectionError):  # a client that waits no longer
                if fault is None:
                    self._send(*proxy.answer(self.path, dict(self.headers)))
                else:
                    self._go_wrong(fault)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self._head(status, headers, len(body))
            self.wfile.write(body)

        def _head(self, status: int, headers: dict[str, str], length: int) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def _go_wrong(self, fault: str) -> None:
            if fault.isdecimal():
                self._send(int(fault), {}, error_reply(int(fault), "SlowDown").body)
            elif fault == "expired token":
                self._send(400, {}, error_reply(400, "ExpiredToken").body)
            elif fault == "200 with an error":
                self._send(200, {}, error_reply(200, "InternalError").body)
            elif fault == "200 with a page":
                self._send(200, {}, b"<html><body>Please log in.</body></html>")
            elif fault == "reset before the head":
                self._reset()
            else:
                self._break_off(fault)

        def _break_off(self, fault: str) -> None:
            status, headers, body = proxy.answer(self.path, dict(self.headers))
            self._head(status, headers, len(body))
            for byte in body if fault == "slow body" else b"":
                self.wfile.write(bytes([byte]))
                time.sleep(_PAUSE_S)
            if fault != "slow body":
                self.wfile.write(body[: len(body) // 2])
            if fault == "reset in the body":
                self._reset()

        def _reset(self) -> None:
            # Closed at once, with what was not sent thrown away: the other side gets a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with running_server(Handler) as endpoint:
        yield endpoint
