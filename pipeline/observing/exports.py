"""Serves the metrics of a job to Prometheus, or pushes them to a gateway."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, push_to_gateway, start_http_server

from schemas.errors import UsageError, one_line
from schemas.observe_options import ObserveOptions

_log = logging.getLogger(__name__)
_JOB = "objseek_ingest"
_PUSH_TIMEOUT_S = 10.0


@contextmanager
def serve_metrics(
    registry: CollectorRegistry, options: ObserveOptions
) -> Iterator[tuple[str, int] | None]:
    """The address at which `registry` is scraped during the block, None if `options` name no port.

    Raises UsageError if it cannot be listened on.
    """
    if options.metrics_port is None:
        yield None
        return
    host, port = options.metrics_host, options.metrics_port
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise UsageError(
            f"metrics cannot be served at {host}:{port} (observe.metrics_host, "
            f"observe.metrics_port): {reason}"
        ) from exc
    address = server.server_address
    _log.info("metrics are served at http://%s:%s/metrics", address[0], address[1])
    try:
        yield str(address[0]), int(address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def push_metrics(registry: CollectorRegistry, options: ObserveOptions) -> Iterator[None]:
    """Push `registry` now and then during the block, and at its end, if `options` name a gateway.

    A gateway that is away is logged, and keeps no image from being worked on.
    """
    if options.push_gateway is None:
        yield
        return
    ended = threading.Event()
    pusher = threading.Thread(target=_push_until, args=(ended, registry, options), name="push")
    pusher.start()
    try:
        yield
    finally:
        ended.set()
        pusher.join()


def _push_until(
    ended: threading.Event, registry: CollectorRegistry, options: ObserveOptions
) -> None:
    assert options.push_gateway is not None
    is_last = False
    while not is_last:
        is_last = ended.wait(options.push_every_s)
        try:
            push_to_gateway(
                options.push_gateway,
                job=_JOB,
                registry=registry,
                grouping_key={"instance": socket.gethostname()},
                timeout=_PUSH_TIMEOUT_S,
            )
        # What answers in its place may be anything.
        except Exception as exc:
            _log.warning("metrics cannot be pushed (observe.push_gateway): %s", one_line(exc))
