"""Nodes of a cluster are lost in the middle of an ingest: every image is accounted for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from support import fakes

from pipeline.jobs.ingest import ingest
from pipeline.progress import Progress
from schemas.manifest import State
from workers.indexes.point_index import PointIndex

pytestmark = pytest.mark.long

_NODE = {"num_cpus": 2, "object_store_memory": 80 << 20}


@pytest.mark.parametrize(
    ("images", "losses"),
    [(48, 1), pytest.param(600, 10, marks=pytest.mark.faults)],
    ids=["short", "whole"],
)
def test_every_image_is_accounted_for_whatever_nodes_are_lost(
    images: int,
    losses: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the nodes' workers
    monkeypatch.setattr(PointIndex, "images_at_once", 8)
    fakes.write_images(tmp_path / "images", images)
    settings = fakes.settings(tmp_path / "index", "ray", workers=2, cpus_per_worker=0.5)
    with cluster() as nodes:
        progress = Losing(nodes, losses, images)
        recipe = fakes.recipe(settings, delay_s=0.05)
        ingest([str(tmp_path / "images")], settings, progress, recipe)
    counts, states = progress.counts, [row.state for row in fakes.rows(settings).values()]
    local = fakes.settings(tmp_path / "index")
    again = ingest([str(tmp_path / "images")], local, recipe=fakes.recipe(local)).counts
    clean = fakes.settings(tmp_path / "clean")
    ingest([str(tmp_path / "images")], clean, recipe=fakes.recipe(clean))
    with capsys.disabled():
        print(
            f"\n{len(progress.lost)} nodes lost in an ingest of {counts.listed} images: "
            f"{counts.done} done, {counts.failed} failed, of which the next run did {again.done}"
        )
    assert len(progress.lost) == losses
    assert (counts.listed, counts.done + counts.failed) == (images, images)
    assert (states.count(State.DONE), states.count(State.FAILED)) == (counts.done, counts.failed)
    assert (again.done, again.unchanged) == (counts.failed, counts.done)
    assert fakes.points(settings) == fakes.points(clean)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A head that does no work, and a node that does; connected."""
    nodes = Cluster(initialize_head=True, head_node_args={**_NODE, "num_cpus": 0})
    try:
        nodes.add_node(**_NODE)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


class Losing(Progress):
    """Kills the raylet of the node that works, spread over the run, and adds another."""

    def __init__(self, nodes: Cluster, losses: int, images: int) -> None:
        super().__init__()
        self._nodes = nodes
        self._at = [images * number // losses for number in range(losses)]
        self.lost: list[str] = []

    def advance(self) -> None:
        if self.counts.handled and self._at and self.counts.handled >= self._at[0]:
            del self._at[0]
            node = self._nodes.list_all_nodes()[-1]
            self._nodes.remove_node(node, allow_graceful=False)
            self.lost.append(node.unique_id)
            self._nodes.add_node(**_NODE)
