"""Run the search service over an index, or over a snapshot of one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import uvicorn

from pipeline.index_home import IndexHome
from pipeline.search.searcher import Searcher
from pipeline.service.access import is_loopback
from pipeline.service.api_keys import KeyFile
from pipeline.service.app import build_app
from pipeline.service.discovery import Handle, write_handle
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.options import ServeOptions
from workers.indexes.location import index_folder, is_server

_MOST_CONNECTIONS = 512
_KEEP_ALIVE_S = 15
_SHUTDOWN_S = 5
_HEAD_BYTES = 32 * 1024
_BACKLOG = 128


class _Ended(BaseException):
    """A signal has come that asks the service to end."""


def serve(
    settings: Settings, *, snapshot: bool = False, listening: Callable[[str], None] | None = None
) -> None:
    """Answer until Ctrl-C or SIGTERM. `listening` is told the address when requests are taken.

    With `snapshot` the index is copied first and let go, so that others may write to it. Raises
    UsageError for another address than loopback without keys, or one that cannot be listened on,
    and what opening the index raises.
    """
    check_exposure(settings.serve)
    with _snapshot_of(settings) if snapshot else contextlib.nullcontext(settings) as of:
        searcher = Searcher.open(of)
        try:
            with closing(_listen(settings.serve)) as listener:
                _run(searcher, of, listener, listening, read_only=snapshot)
        finally:
            searcher.close()


def check_exposure(options: ServeOptions) -> None:
    """Raise UsageError where others could ask without a key."""
    if options.keys is not None:
        path = Path(options.keys).expanduser()
        if not KeyFile(path).load():
            raise UsageError(f"there is no key in {path}: make one with `objseek keys create NAME`")
    elif not is_loopback(options.host):
        raise UsageError(
            f"expected keys to listen on {options.host}, where others can ask: "
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
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            lifespan="on",
            limit_concurrency=_MOST_CONNECTIONS,
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
        with _ended_by_signals():
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        if handle is not None:
            handle.unlink(missing_ok=True)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C and a SIGTERM end the block, and are no errors: uvicorn raises them once more."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(_Ended):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def url_of(host: str, port: int) -> str:
    """The address to ask a service at that listens on `host`."""
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # Named as TCP, or asyncio leaves answers waiting for the client's confirmation, 40 ms each.
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
def _snapshot_of(settings: Settings) -> Iterator[Settings]:
    """The settings with a copy of the index, which goes with the service.

    Raises UsageError for a server's collection, IndexBusyError while another process writes.
    """
    location = settings.index.location
    if is_server(location):
        raise UsageError(f"expected a folder to copy, got {location}: a server needs no snapshot")
    with tempfile.TemporaryDirectory(prefix="objseek-snapshot-") as folder:
        copy = Path(folder) / "index"
        # Held while it is copied, so that nobody writes.
        home = IndexHome.current(settings)
        with home.points():
            shutil.copytree(index_folder(home.index.location) / "points", copy / "points")
        index = settings.index.model_copy(update={"location": str(copy)})
        yield settings.model_copy(update={"index": index})
