"""A Ray cluster of somebody else is used and left alone; one that is not there is one sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from support import fakes
from support.fakes import points
from support.paths import IMPORTS, ROOT

from pipeline.runners.ray_pool.session import check_reachable
from schemas.errors import UsageError

COMMAND = [sys.executable, str(ROOT / "tests" / "support" / "fakes.py")]
ENVIRONMENT = {**os.environ, **IMPORTS}
KEY = "0123456789abcdef" * 4


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", 20)
    return tmp_path / "images"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster of somebody else, who has the key."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # a short path
        head = subprocess.Popen(
            [
                *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
                *(f"--port={port}", f"--temp-dir={folder}", "--num-cpus=2"),
                *("--include-dashboard=false", "--disable-usage-stats"),
            ],
            env={**ENVIRONMENT, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            assert head.stdout is not None
            # Its port answers before it takes work.
            assert any("Ray runtime started." in line for line in head.stdout)
            yield f"{ray.util.get_node_ip_address()}:{port}"
        finally:
            os.killpg(head.pid, signal.SIGKILL)
            head.communicate()


def ingest_on(
    cluster: str, images: Path, index: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, str(images), str(index), "ray", "0", cluster],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.long
def test_a_cluster_that_runs_already_is_used_and_left_alone(
    cluster: str, images: Path, tmp_path: Path
) -> None:
    for index in (tmp_path / "first", tmp_path / "second"):
        found = ingest_on(cluster, images, index, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=KEY)
        assert found.stdout == "done 20, unchanged 0\n", found.stderr
        assert "Traceback" not in found.stderr
        assert len(points(fakes.settings(index))) == 60


@pytest.mark.long
def test_a_cluster_whose_key_one_has_not_is_one_sentence(
    cluster: str, images: Path, tmp_path: Path
) -> None:
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    # Ray asks once a second, twenty times if it is not told otherwise.
    found = ingest_on(cluster, images, tmp_path / "index", **wrong, RAY_NUM_REDIS_GET_RETRIES="2")
    assert found.returncode == 2
    assert f"Error: expected a Ray cluster at '{cluster}', got: " in found.stderr
    assert "InvalidAuthToken" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "expected a Ray cluster at '127.0.0.1:1', got: .*refused"),
        ("ray://somewhere:10001", "expected auto or host:6379 as the address of Ray"),
    ],
)
def test_no_cluster_at_the_address_is_one_sentence(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_reachable(address)
