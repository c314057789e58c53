"""Looks at whether the ports that the settings name are free, and whether a cluster answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from pipeline.cli.checkup.check import Check, failed, passed, warned
from pipeline.settings import Settings

_PATIENCE_S = 3.0


def check_ports(settings: Settings) -> Iterator[Check]:
    """The port of `objseek serve`, that of metrics, and the address of a Ray cluster if any."""
    serve, observe = settings.serve, settings.observe
    advice = "`objseek serve --port 0` takes any free one"
    yield check_port("port of serve", serve.host, serve.port, advice)
    if observe.metrics_port:
        advice = "observe.metrics_port = 0 takes any free one"
        yield check_port("port of metrics", observe.metrics_host, observe.metrics_port, advice)
    address = settings.runner.ray_address
    if address is not None and address != "auto":
        yield check_cluster(address)


def check_port(name: str, host: str, port: int, advice: str) -> Check:
    """Whether a port is free; one that is in use may be in use by what it is meant for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            return passed(name, f"{host}:{port} is free")
    except OSError as exc:
        return warned(name, f"{host}:{port} cannot be taken: {exc.strerror or exc}", advice)


def check_cluster(address: str) -> Check:
    """Whether something answers at a Ray cluster's address, `host:port` or `ray://host:port`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    advice = "start the cluster, or compare --ray-address with what `ray status` says there"
    if not host or not port.isdecimal():
        return failed("ray cluster", f"expected host:port or auto, got {address}", advice)
    try:
        with socket.create_connection((host, int(port)), _PATIENCE_S):
            return passed("ray cluster", f"{address} answers")
    except (OSError, UnicodeError) as exc:  # the latter of what can be no host's name
        return failed("ray cluster", f"{address} does not answer: {exc}", advice)
