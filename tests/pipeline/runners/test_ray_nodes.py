"""Nodes of a Ray cluster come and go: a run waits for the first, and goes on with the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from support import fakes
from support.metric_samples import added_samples
from support.telling_models import (
    HELD_AT,
    count_repeats,
    read_nodes,
    telling_recipe,
    telling_settings,
)
from support.waiting import PATIENCE_S, until

from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.observing.ingest_metrics import process_metrics
from pipeline.progress import Progress
from pipeline.runners.ray_pool.actors import ActorPool
from pipeline.runners.ray_pool.pending_calls import PendingCalls
from pipeline.runners.ray_pool.runner import IN_FLIGHT
from pipeline.settings import Settings
from schemas.errors import StalledError

pytestmark = pytest.mark.long

IMAGES, BATCH = 40, 4
MEMORY = {"object_store_memory": 80 << 20}
# A GPU that nobody looks for: it is declared, as a node's own is.
NODE = {"num_cpus": 2, "num_gpus": 1, **MEMORY}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head that does no work, connected; it has no nodes yet."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the nodes' workers
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **MEMORY})
    try:
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


def check_all_done(found: IngestSummary, settings: Settings, images: Path, tmp_path: Path) -> None:
    """Exact counts, and the points of a run without Ray."""
    counts = found.counts
    assert (counts.listed, counts.done, counts.failed, counts.rejected) == (IMAGES, IMAGES, 0, 0)
    clean = fakes.settings(tmp_path / "clean")
    ingest([str(images)], clean, recipe=fakes.recipe(clean))
    assert fakes.points(settings) == fakes.points(clean)


def lose_node(nodes: Cluster, log: Path, lost: Path) -> None:
    """Kill the node given the last image, at which it is held, and then make the file `lost`."""
    until(lambda: len(read_nodes(log)) >= HELD_AT)
    given = read_nodes(log)[-1]
    (node,) = (each for each in nodes.worker_nodes if each.node_id == given)
    nodes.remove_node(node, allow_graceful=False)
    lost.touch()


def test_a_lost_node_costs_the_chunks_in_flight_and_the_rest_goes_on(
    cluster: Cluster, images: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        cluster.add_node(**NODE)
    log, lost = tmp_path / "log", tmp_path / "lost"
    settings = telling_settings(tmp_path / "index")
    recipe = telling_recipe(settings, log, lost)
    with ThreadPoolExecutor() as threads, added_samples(process_metrics().registry) as added:
        losing = threads.submit(lose_node, cluster, log, lost)
        found = ingest([str(images)], settings, recipe=recipe)
        losing.result()
    check_all_done(found, settings, images, tmp_path)
    assert added['objseek_ingest_retries_total{what="chunk"}'] >= 1
    assert len(set(read_nodes(log))) == 2
    # The worker that was lost had so many.
    assert count_repeats(log) <= IN_FLIGHT * BATCH


class Growing(Progress):
    """Adds a node when it is told that one is waited for, and another when some are done."""

    def __init__(self, nodes: Cluster) -> None:
        super().__init__()
        self._nodes = nodes
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
        if text.startswith("waiting for a node") and not self._nodes.worker_nodes:
            self._nodes.add_node(**NODE)

    def add_finished(self, images: int) -> None:
        super().add_finished(images)
        if len(self._nodes.worker_nodes) == 1:
            self._nodes.add_node(**NODE)


def test_a_run_begins_without_a_node_and_takes_those_that_come(
    cluster: Cluster, images: Path, tmp_path: Path
) -> None:
    log, settings = tmp_path / "log", telling_settings(tmp_path / "index")
    progress = Growing(cluster)
    found = ingest([str(images)], settings, progress, telling_recipe(settings, log))
    check_all_done(found, settings, images, tmp_path)
    waited = [note for note in progress.notes if note.startswith("waiting for a node")]
    assert waited[0] == (
        "waiting for a node with 0.5 CPU, 1 GPU: 2 workers asked for, none has a place yet"
    )
    assert len(set(read_nodes(log))) == 2
    assert count_repeats(log) == 0


def test_workers_that_fill_all_cpus_leave_reading_a_place(
    cluster: Cluster, images: Path, tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=2, **MEMORY)
    settings = fakes.settings(
        tmp_path / "index", "ray", workers=2, cpus_per_worker=1, stall_timeout_s=PATIENCE_S
    )
    found = ingest([str(images)], settings, recipe=fakes.recipe(settings))
    check_all_done(found, settings, images, tmp_path)


def test_workers_share_a_gpu_by_its_parts(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_node(**NODE)
    settings = fakes.settings(
        tmp_path / "index", "ray", workers=4, cpus_per_worker=0.25, gpus_per_worker=0.25
    )
    recipe, log = fakes.recipe(settings), tmp_path / "log"
    actors = ActorPool(recipe, settings.runner, log, PendingCalls())
    actors.start()
    until(lambda: actors.count_placed() == 4)
    until(lambda: "GPU" not in ray.available_resources())
    actors.close()
    until(lambda: ray.available_resources().get("GPU") == 1)


def test_a_run_without_a_node_ends_with_one_sentence(
    cluster: Cluster, images: Path, tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=2, **MEMORY)
    settings = telling_settings(tmp_path / "index", node_timeout_s=0.5)
    with pytest.raises(StalledError) as caught:
        ingest([str(images)], settings, recipe=fakes.recipe(settings))
    assert str(caught.value) == (
        "expected a node with 0.5 CPU, 1 GPU within 0.5 s (node_timeout_s), got none: "
        "the cluster has 2 nodes (0 CPU, 0 GPU; 2 CPU, 0 GPU)"
    )
