"""A run is a demand that Ray's autoscaler sees: nodes come for it, and go when it ends."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from support import fakes
from support.autoscaling_cluster import autoscaling_cluster
from support.telling_models import read_nodes, telling_recipe, telling_settings
from support.waiting import until

from pipeline.environment import set_environment
from pipeline.jobs.ingest import ingest
from pipeline.progress import Progress
from pipeline.runners.ray_pool.private_ray import reload_authentication

pytestmark = pytest.mark.long

NODE = {"CPU": 2, "GPU": 1, "object_store_memory": 80 << 20}


@pytest.fixture
def cluster() -> Iterator[None]:
    """A cluster that has no node yet and makes up to two, connected."""
    variables = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    with set_environment(variables), autoscaling_cluster(NODE, most=2, idle_s=3) as address:
        reload_authentication()
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            yield
        finally:
            ray.shutdown()
    reload_authentication()


def count_nodes() -> int:
    return sum(node["Alive"] and "GPU" in node["Resources"] for node in ray.nodes())


class Noting(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.usefixtures("cluster")
def test_nodes_come_for_a_run_and_go_when_it_has_ended(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 40)
    assert count_nodes() == 0
    log, progress = tmp_path / "log", Noting()
    settings = telling_settings(tmp_path / "index")
    recipe = telling_recipe(settings, log)
    counts = ingest([str(tmp_path / "images")], settings, progress, recipe).counts
    assert (counts.listed, counts.done) == (40, 40)
    assert (
        "waiting for a node with 0.5 CPU, 1 GPU: 2 workers asked for, none has a place yet"
        in progress.notes
    )
    assert len(set(read_nodes(log))) == 2
    # Nothing is asked for any more.
    until(lambda: count_nodes() == 0)
