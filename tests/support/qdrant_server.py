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
from qdrant_client import QdrantClient, models
from support.kept_settings import KeptSettings

NEWEST = "1.20.0"
BEHIND = "behind/qdrant"
"""A path at which the server is as well, as behind a proxy."""
_HOST = "127.0.0.1"
_MOST_POINTS = 100_000
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


@dataclass(frozen=True)
class Request:
    """`operation` is the method and what follows the collection in the path, if that names one."""

    collection: str
    operation: str
    body: Any


class StoppedError(Exception):
    """The server stops here, whatever it was at."""


_WRITES = {"PUT /points": Write.UPSERT, "POST /points/delete": Write.DELETE}


class QdrantServer:
    """A server on loopback at one port; its collections outlive its stops."""

    def __init__(self, version: str = NEWEST) -> None:
        """`version` is what it says of itself, and what it knows: see `_as_version`."""
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
            request = _as_version(request, self.version)
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


class RefusedError(Exception):
    """What a server answers with status 400."""

    status = 400


class ConflictError(RefusedError):
    """What is there already."""

    status = 409


def _as_version(request: Request, version: str) -> Request:
    """The request as a server of this version understands it. Raises RefusedError, LookupError.

    1.15 and older ignore `update_filter`; 1.17 and older add no vector to a collection; 1.18 and
    older refuse a match by prefix.
    """
    major, minor = map(int, re.findall(r"\d+", version or NEWEST)[:2])
    body, known = request.body, (major, minor)
    if known < (1, 19) and '"prefix"' in json.dumps(body):
        if request.operation == "PUT /index":
            raise RefusedError("Format error in JSON body: unknown field `prefix`")
        raise RefusedError(
            "Format error in JSON body: data did not match any variant of untagged enum Condition"
        )
    if known < (1, 18) and request.operation.startswith("PUT /vectors/"):
        raise LookupError("there is nothing at this path")
    if known < (1, 16) and isinstance(body, dict) and "update_filter" in body:
        return replace(request, body={**body, "update_filter": None})
    return request


def result_of(engine: QdrantClient, request: Request) -> Any:
    """What Qdrant answers, as a model of its client. Raises LookupError for what is not served."""
    name, body = request.collection, request.body
    aliases = {entry.alias_name: entry.collection_name for entry in engine.get_aliases().aliases}
    name = aliases.get(name, name)
    match request.operation:
        case "GET /aliases":
            return engine.get_aliases()
        case "GET /collections":
            return engine.get_collections()
        case "POST /collections/aliases":
            changes = models.ChangeAliasesOperation.model_validate(body)
            return engine.update_collection_aliases(changes.actions)
        case "DELETE /":
            return engine.delete_collection(name)
    if not name:
        raise LookupError("there is nothing at this path")
    if request.operation == "GET /exists":
        return models.CollectionExistence(exists=engine.collection_exists(name))
    if request.operation == "PUT /":
        if engine.collection_exists(name):
            raise ConflictError(f"Wrong input: Collection `{name}` already exists!")
        made = models.CreateCollection.model_validate(body)
        return engine.create_collection(
            name, vectors_config=made.vectors, sparse_vectors_config=made.sparse_vectors
        )
    if not engine.collection_exists(name):
        raise LookupError(f"Collection `{name}` doesn't exist!")
    match request.operation:
        case "GET /":
            return engine.get_collection(name)
        case "PATCH /":
            return True
        case "PUT /vectors/sparse":
            added = models.SparseVectorNameConfig.model_validate(body)
            return engine.create_vector_name(name, "sparse", added)
        case operation if operation.startswith("PUT /vectors/"):
            dense = models.DenseVectorNameConfig.model_validate(body)
            return engine.create_vector_name(name, operation.rpartition("/")[2], dense)
        case "PUT /index":
            return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
        case "PUT /points":
            given = models.PointsList.model_validate(body)
            return engine.upsert(name, given.points, update_filter=given.update_filter)
        case "POST /points/delete":
            return engine.delete(name, selector_of(body))
        case "POST /points":
            wanted = models.PointRequest.model_validate(body)
            return engine.retrieve(name, wanted.ids, wanted.with_payload, wanted.with_vector)
        case "POST /points/scroll":
            page = models.ScrollRequest.model_validate(body)
            points, following = engine.scroll(
                name, page.filter, limit=page.limit, offset=page.offset,
                with_payload=page.with_payload, with_vectors=page.with_vector,
            )  # fmt: skip
            return models.ScrollResult(points=points, next_page_offset=following)
        case "POST /points/query":
            query = models.QueryRequest.model_validate(body)
            return engine.query_points(
                name, query.query, using=query.using, prefetch=query.prefetch,
                query_filter=query.filter, limit=query.limit, with_payload=query.with_payload,
                score_threshold=query.score_threshold, with_vectors=query.with_vector,
            )  # fmt: skip
        case "POST /points/query/batch":
            searches = models.QueryRequestBatch.model_validate(body).searches
            return engine.query_batch_points(name, searches)
        case "POST /points/batch":
            operations = models.UpdateOperations.model_validate(body).operations
            return engine.batch_update_points(name, operations)
        case "POST /points/count":
            return engine.count(name, models.CountRequest.model_validate(body).filter)
        case "POST /facet":
            facet = models.FacetRequest.model_validate(body)
            return engine.facet(name, facet.key, facet_filter=facet.filter, limit=facet.limit)
    raise LookupError(f"{request.operation} is not served here")


def selector_of(body: Any) -> models.PointsSelector:
    kind = models.PointIdsList if "points" in body else models.FilterSelector
    return kind.model_validate(body)


def half_of(engine: QdrantClient, request: Request) -> Request:
    """The same write, of half of its points."""
    if request.operation == "PUT /points":
        points = request.body["points"]
        return replace(request, body={**request.body, "points": points[: len(points) // 2]})
    selector = selector_of(request.body)
    if isinstance(selector, models.PointIdsList):
        ids = selector.points
    else:
        found, _ = engine.scroll(request.collection, selector.filter, limit=_MOST_POINTS)
        ids = [point.id for point in found]
    return replace(request, body={"points": ids[: len(ids) // 2]})


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
