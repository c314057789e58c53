"""Runs a real Prometheus on the configuration that lies in deploy/, with targets on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from support.dashboard import ALERTS, CONFIG
from support.waiting import PATIENCE_S, until

PROMETHEUS = os.environ.get("OBJSEEK_TEST_PROMETHEUS") or shutil.which("prometheus")
_OFTEN = "250ms"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def promtool(*arguments: str) -> str:
    """What promtool, which is installed beside Prometheus, prints; fails where it complains."""
    assert PROMETHEUS is not None
    binary = Path(PROMETHEUS).with_name("promtool")
    done = subprocess.run([str(binary), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_config(folder: Path, targets: dict[str, str], key: str, every: str = _OFTEN) -> Path:
    """The configuration with these targets, by their jobs, this key and this scrape interval."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": every, "evaluation_interval": every}
    shutil.copy(ALERTS, folder / ALERTS.name)
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        if "authorization" in job:
            job["authorization"] = {"credentials_file": str(folder / "key")}
    (folder / "key").write_text(key)
    path = folder / CONFIG.name
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that runs, and who asks it."""

    client: httpx.Client

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; fails for an error."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr: str) -> list[float]:
        """The values of a query now."""
        return [float(series["value"][1]) for series in self.get("query", query=expr)["result"]]


@contextmanager
def running_prometheus(folder: Path, config: Path) -> Iterator[Prometheus]:
    """Prometheus with this configuration, until the end of the block."""
    assert PROMETHEUS is not None
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            until(lambda: process.poll() is not None or _is_ready(client))
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False
