"""Runs the search service over an index, or over a snapshot of one."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from pipeline.index_home import IndexHome
from pipeline.observing.json_lines import json_log
from pipeline.observing.observe import check_traces
from pipeline.search.searcher import Searcher
from pipeline.service.access import is_loopback
from pipeline.service.api_keys import KeyFile
from pipeline.service.app import build_app
from pipeline.service.discovery import Handle, write_handle
from pipeline.service.search_queue import SearchQueue
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.serve_options import ServeOptions
from workers.indexes.edge.copies import SHARD, copy_tree
from workers.indexes.location import has_one_owner, index_folder

_MAX_CONNECTIONS = 512
_KEEP_ALIVE_S = 15
_SHUTDOWN_S = 5
_HEAD_BYTES = 32 * 1024
_BACKLOG = 128


# Those who wait are answered before uvicorn ends them.
_LAST_ANSWERS_S = _SHUTDOWN_S - 1


class _StopSignal(BaseException):
    """Raised by the handlers of Ctrl-C and SIGTERM.

    It may be raised anywhere, as KeyboardInterrupt is, so no `except Exception` may catch it.
    """


def serve(
    settings: Settings, *, snapshot: bool = False, listening: Callable[[str], None] | None = None
) -> None:
    """Serve until Ctrl-C or SIGTERM. `listening` is called with the address that takes requests.

    With `snapshot` the index is first copied and then released, so that others may write to it.
    Raises UsageError for an address beyond loopback without keys, or one that cannot be listened
    on, or for traces without their libraries, and whatever opening the index raises.
    """
    check_exposure(settings.serve)
    check_traces(settings.observe)
    source = _copy_index(settings) if snapshot else contextlib.nullcontext(settings)
    with json_log(settings.observe), source as opened:
        searcher = Searcher.open(opened)
        try:
            with closing(_listen(settings.serve)) as listener:
                _run(searcher, opened, listener, listening, read_only=snapshot)
        finally:
            searcher.close()


def check_exposure(options: ServeOptions) -> None:
    """Raise UsageError if other machines could reach the service without a key."""
    if options.keys is not None:
        path = Path(options.keys).expanduser()
        if not KeyFile(path).load():
            raise UsageError(f"there is no key in {path}: make one with `objseek keys create NAME`")
    elif not is_loopback(options.host):
        raise UsageError(
            f"expected keys to listen on {options.host}, where others can reach it: "
            "make one with `objseek keys create NAME`, and name its file with --keys"
        )


def _run(
    searcher: Searcher,
    settings: Settings,
    listener: socket.socket,
    listening: Callable[[str], None] | None,
    *,
    read_only: bool,
) -> None:
    token = secrets.token_urlsafe(32)
    handle: Path | None = None
    try:
        app = build_app(searcher, settings, token, read_only=read_only)
        config = uvicorn.Config(
            app,
            log_level="warning",
            # None: uvicorn's own records go where all others do.
            log_config=None if settings.observe.log_format == "json" else LOGGING_CONFIG,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            lifespan="on",
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_SHUTDOWN_S,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        url = url_of(settings.serve.host, listener.getsockname()[1])
        if not read_only:
            handle = write_handle(
                settings.index.location, Handle(url=url, token=token, pid=os.getpid())
            )
        if listening is not None:
            listening(url)
        with _ending_on_signals():
            _Server(config, app.state.service.queue).run(sockets=[listener])
    finally:
        if handle is not None:
            handle.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """Answers those who wait for models or the index when it is stopped."""

    def __init__(self, config: uvicorn.Config, queue: SearchQueue) -> None:
        super().__init__(config)
        self._queue = queue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._queue.end_waiting(_LAST_ANSWERS_S)
        await super().shutdown(sockets)


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """End the block on Ctrl-C or SIGTERM, without an error.

    uvicorn handles both itself, and raises them once more when it has shut down.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise _StopSignal

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(_StopSignal):
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def url_of(host: str, port: int) -> str:
    """The URL to reach a service at that listens on `host`."""
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # Only if the protocol is given does asyncio set TCP_NODELAY; without it each answer takes
    # 40 ms more.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(_BACKLOG)
        return listener
    except (OSError, OverflowError) as exc:
        listener.close()
        reason = getattr(exc, "strerror", None) or exc
        raise UsageError(
            f"the service cannot listen on {options.host}:{options.port}: {reason}"
        ) from exc


@contextlib.contextmanager
def _copy_index(settings: Settings) -> Iterator[Settings]:
    """The settings for a copy of the index, which is removed at the end.

    Raises UsageError for a server's collection, IndexBusyError while another process writes.
    """
    location = settings.index.location
    if not has_one_owner(location):
        raise UsageError(f"expected a folder to copy, got {location}: a server needs no snapshot")
    with tempfile.TemporaryDirectory(prefix="objseek-snapshot-") as folder:
        copy = Path(folder) / "index"
        # Held while it is copied, so that nobody writes.
        home = IndexHome.current(settings)
        with home.points():
            copy_tree(index_folder(home.index.location) / SHARD, copy / SHARD)
        index = settings.index.model_copy(update={"location": str(copy)})
        yield settings.model_copy(update={"index": index})
