"""Stands before an S3 server: makes each request wait, and writes down what was asked.

    python -m bench.object_storage.proxy http://127.0.0.1:7480

Prints its address. It answers two paths itself: `/_proxy/latency?ms=30` has requests wait from now
on, `/_proxy/log` tells what was asked since it told it last.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from urllib.parse import parse_qs, urlsplit

from bench.object_storage.traffic import Request

_BUFFER = 2**20
_PIECE = 2**18
_OWN = "/_proxy/"
_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class ProxyControl:
    """Sets and asks a proxy at `url`, from any process."""

    url: str

    def set_latency(self, milliseconds: float) -> None:
        self._ask(f"latency?ms={milliseconds}")

    def take_log(self) -> list[Request]:
        """What was asked since the last time."""
        return [Request(**entry) for entry in json.loads(self._ask("log"))]

    def _ask(self, what: str) -> bytes:
        with urllib.request.urlopen(self.url + _OWN + what) as answer:
            body: bytes = answer.read()
            return body


@contextmanager
def running_proxy(endpoint: str) -> Iterator[ProxyControl]:
    """A proxy in a process of its own before `endpoint`."""
    command = [sys.executable, "-m", "bench.object_storage.proxy", endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise SystemExit("the proxy has not started")
            yield ProxyControl(url)
        finally:
            process.terminate()


class _Head:
    """The first line and the headers of a request or an answer."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.first, *lines = raw[:-4].decode("latin1").split("\r\n")
        self._fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }

    def get(self, name: str) -> str:
        return self._fields.get(name, "").lower()


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    return _Head(await reader.readuntil(b"\r\n\r\n"))


async def _hand_on(head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Hand on the body that follows a head; its bytes."""
    if head.get("transfer-encoding") == "chunked":
        return await _hand_on_chunks(reader, writer)
    size = left = int(head.get("content-length") or 0)
    while left:
        piece = await reader.read(min(left, _PIECE))
        if not piece:
            raise ConnectionError("a body ended early")
        writer.write(piece)
        await writer.drain()
        left -= len(piece)
    return size


async def _hand_on_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    total = 0
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        writer.write(line + await reader.readexactly(size + 2))
        await writer.drain()
        total += size
        if not size:
            return total


class Proxy:
    """Hands requests on to the server at `host` and `port`."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._latency_s = 0.0
        self._log: list[Request] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer all requests of one connection, over one to the server."""
        behind: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        # Clients hang up whenever they like.
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await _read_head(reader)
                target = head.first.split(" ")[1]
                if target.startswith(_OWN):
                    await self._answer_itself(target, writer)
                    continue
                if behind is None:
                    behind = await asyncio.open_connection(self._host, self._port, limit=_BUFFER)
                await self._serve_one(head, (reader, writer), behind)
        for each in (writer, *(behind or ())[1:]):
            each.close()

    async def _serve_one(
        self,
        head: _Head,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        began = time.perf_counter()
        method, path, _ = head.first.split(" ", 2)
        if head.get("expect"):
            client[1].write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(self._latency_s)
        # Else the server would say "continue", too.
        server[1].write(re.sub(rb"(?i)\r\nexpect:[^\r]*", b"", head.raw))
        sent = await _hand_on(head, client[0], server[1])
        answer = await _read_head(server[0])
        client[1].write(answer.raw)
        received = 0
        if method != "HEAD" and int(answer.first.split()[1]) not in _NO_BODY:
            received = await _hand_on(answer, server[0], client[1])
        await client[1].drain()
        ended = time.perf_counter()
        self._log.append(Request(method, path, began, ended, sent, received))
        if answer.get("connection") == "close":
            raise ConnectionError("the server has ended the connection")

    async def _answer_itself(self, target: str, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(target)
        body = b"{}"
        if address.path == f"{_OWN}latency":
            self._latency_s = float(parse_qs(address.query)["ms"][0]) / 1e3
        else:
            body = json.dumps([asdict(request) for request in self._log]).encode()
            self._log.clear()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


async def _run(endpoint: str) -> None:
    behind = urlsplit(endpoint)
    if behind.scheme != "http" or not behind.hostname:
        raise SystemExit(f"expected an endpoint such as http://127.0.0.1:7480, got {endpoint!r}")
    proxy = Proxy(behind.hostname, behind.port or 80)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=_BUFFER, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_run("".join(sys.argv[1:2])))
