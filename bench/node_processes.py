"""A Ray cluster of processes started by `ray start`: each node at its own address of loopback.

And with its own ports. Ray replaces 127.0.0.1 by the machine's address, and leaves 127.0.0.2 alone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import ray

_RAY = Path(sys.executable).with_name("ray")
_PATIENCE_S = 180.0
# One of each for every node, or several on one machine would take the same.
_NODE_PORTS = (
    "node-manager-port",
    "object-manager-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "runtime-env-agent-port",
)


class NodeProcesses:
    """A head that does no work, and nodes that do. `address` is what drivers connect to."""

    def __init__(self, folder: str) -> None:
        self._open = ExitStack()
        self._hosts = (f"127.0.0.{number}" for number in count(2))
        host = next(self._hosts)
        (port,) = find_free_ports(host, 1)
        self.address = f"{host}:{port}"
        head = ("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")
        self._start(host, *head, "--num-cpus=0", "--object-store-memory=100000000")

    def add(self, cpus: int) -> subprocess.Popen[str]:
        """Start a node with so many CPUs: the process that leads its group."""
        memory = "--object-store-memory=100000000"
        return self._start(
            next(self._hosts), f"--address={self.address}", f"--num-cpus={cpus}", memory
        )

    def close(self) -> None:
        """End every node that still runs."""
        self._open.close()

    def _start(self, host: str, *arguments: str) -> subprocess.Popen[str]:
        ports = zip(_NODE_PORTS, find_free_ports(host, len(_NODE_PORTS)), strict=True)
        own = [f"--{name}={port}" for name, port in ports]
        workers = ("--min-worker-port=0", "--max-worker-port=0")
        command = [str(_RAY), "start", "--block", f"--node-ip-address={host}"]
        node = subprocess.Popen(
            [*command, "--disable-usage-stats", *arguments, *own, *workers],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._open.callback(end_group, node)
        assert node.stdout is not None
        told = []
        for line in node.stdout:
            told.append(line)
            if "Ray runtime started." in line:
                break
        else:
            raise SystemExit(f"expected a node of Ray, got: {''.join(told)}")
        threading.Thread(target=node.stdout.read, daemon=True).start()  # lest it waits for a reader
        return node


def end_group(leader: subprocess.Popen[str]) -> None:
    """SIGKILL a process that leads its group, and all of the group: a machine that goes."""
    if leader.poll() is None:
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def find_free_ports(host: str, number: int) -> list[int]:
    """So many ports of `host` that nobody listens at."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def node_processes(nodes: int, cpus: int) -> Iterator[str]:
    """The address of a cluster of so many nodes, each with so many CPUs, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as name:
        cluster = NodeProcesses(name)
        try:
            for _ in range(nodes):
                cluster.add(cpus)
            yield cluster.address
        finally:
            cluster.close()


def wait_for_nodes(number: int) -> None:
    """Until this Ray has so many nodes that work."""
    deadline = time.monotonic() + _PATIENCE_S
    while sum(bool(node["Resources"].get("CPU")) for node in ray.nodes() if node["Alive"]) < number:
        if time.monotonic() > deadline:
            raise SystemExit(f"expected {number} nodes, got {ray.nodes()}")
        time.sleep(0.2)
