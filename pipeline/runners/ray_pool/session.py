"""Starts a Ray of our own on this machine, or connects to a cluster, with a quiet screen."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import ray
from ray.exceptions import AuthenticationError

from pipeline.environment import set_environment
from pipeline.runners.ray_pool.node_cpus import READER_CPUS
from pipeline.runners.ray_pool.private_ray import (
    CLUSTER_VARIABLE,
    OwnPathAlone,
    listen_on_loopback,
    reload_authentication,
)
from schemas.errors import UsageError, WorkerDiedError, one_line
from schemas.options import RunnerOptions

# Sockets lie below it, and their paths must stay under 104 bytes; TMPDIR can be longer than that.
_SHORT_TEMP = "/tmp"
_CONNECT_TIMEOUT_S = 10.0
_STARTS = 3


@contextmanager
def ray_session(options: RunnerOptions, log: Path) -> Iterator[float]:
    """Ray for as long as the context lasts; one that runs already is used and left alone.

    What reading a chunk is to ask it for, in CPUs: one of a Ray of our own, which has as many as it
    is to have readers.

    What Ray prints, and what its workers printed, goes to the file `log`. Raises UsageError if
    the cluster at `options.ray_address` cannot be reached, WorkerDiedError if Ray does not start.
    """
    if ray.is_initialized():
        yield READER_CPUS
    elif options.ray_address is not None:
        with _redirect_output(log):
            with _keep_sigterm():
                _connect(options.ray_address)
            try:
                yield READER_CPUS
            finally:
                ray.shutdown()
    else:
        with _make_temp_folder() as folder, _redirect_output(log):
            try:
                with _keep_sigterm():
                    _start(options, folder)
                yield 1.0
            finally:
                ray.shutdown()
                reload_authentication()
                _keep_worker_logs(folder, log)


@contextmanager
def _keep_sigterm() -> Iterator[None]:
    """Restore what a SIGTERM does: Ray changes it when it starts."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Only the main thread may set it, and in others Ray does not change it.
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _start(options: RunnerOptions, folder: Path) -> None:
    # Declared, not counted: read tasks must not wait for a worker's core. An idle process for
    # them takes a hundredth of a core, and Ray keeps as many as may run.
    readers = options.readers or math.ceil(options.workers / 2)
    cpus = math.ceil(options.workers * options.cpus_per_worker) + readers
    variables = {
        # Whoever may talk to Ray may run anything. A key for this run alone, which nobody else has.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        CLUSTER_VARIABLE: "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A worker that declares no GPU may still use the one that is there.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Nobody follows the logs of workers: looking for them ten times a second costs a hundredth
        # of a core.
        "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
        "LOG_NAME_UPDATE_INTERVAL_S": str(10**9),
        # Workers import what this process imports, installed or not.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if os.path.isdir(path)),
    }
    with set_environment(variables), listen_on_loopback():
        reload_authentication()
        for attempt in range(1, _STARTS + 1):
            try:
                return _init_local(
                    cpus, math.ceil(options.workers * options.gpus_per_worker), folder
                )
            # Ray gives a busy machine half a minute to start, and then raises a bare Exception.
            except Exception as exc:
                if type(exc) is not Exception:
                    raise
                ray.shutdown()
                if attempt == _STARTS:
                    raise WorkerDiedError(
                        f"Ray did not start on this machine in {_STARTS} attempts ({exc}): "
                        "is it too busy? The runner local does without"
                    ) from exc


def _init_local(cpus: int, gpus: int, folder: Path) -> None:
    ray.init(
        address="local",
        num_cpus=cpus,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(folder),
        job_config=OwnPathAlone(),
    )


def _connect(address: str) -> None:
    if address != "auto":
        check_reachable(address)
    reload_authentication()
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            job_config=OwnPathAlone(),
        )
    except (ConnectionError, ValueError, RuntimeError, AuthenticationError) as exc:
        raise UsageError(f"expected a Ray cluster at {address!r}, got: {one_line(exc)}") from exc


def check_reachable(address: str) -> None:
    """Raise UsageError unless something listens at `address`, `host:port`."""
    # Ray itself tries for minutes, and then ends the process.
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal():
        raise UsageError(f"expected auto or host:6379 as the address of Ray, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as exc:
        raise UsageError(f"expected a Ray cluster at {address!r}, got: {exc}") from exc


@contextmanager
def _make_temp_folder() -> Iterator[Path]:
    parent = _SHORT_TEMP if os.path.isdir(_SHORT_TEMP) else None
    folder = tempfile.mkdtemp(prefix="objseek-", dir=parent)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _redirect_output(log: Path) -> Iterator[None]:
    """Ray prints from threads of its own, so the streams are replaced for everyone."""
    with (
        log.open("a", encoding="utf-8", buffering=1) as file,
        redirect_stdout(file),
        redirect_stderr(file),
        # The results of a run that was interrupted are never fetched.
        set_environment({"RAY_IGNORE_UNHANDLED_ERRORS": "1"}),
    ):
        yield


def _keep_worker_logs(folder: Path, log: Path) -> None:
    """Append what the workers printed to `log`, before the session's folder goes."""
    with log.open("ab") as kept:
        for path in sorted(folder.glob("session_2*/logs/worker-*")):
            if path.suffix in (".out", ".err") and path.stat().st_size:
                kept.write(f"--- {path.name}\n".encode())
                with path.open("rb") as file:
                    shutil.copyfileobj(file, kept)
