"""How throughput grows with the nodes of a Ray cluster, by models that sleep.

    python -m bench.nodes --nodes 4

Listing, reading, dispatch, embedding, index and manifest are the product's; only the segmenter
sleeps, so that a few cores stand for all nodes: with `--image-s 0.5` and two workers a node, four
nodes do 16 images a second, whose other work takes less than a core. Clusters are Ray's own for
tests (`ray.cluster_utils.Cluster`), then processes of `ray start` on loopback (`--kind processes`),
each node with its own ports. Counted is from the moment at which all workers have loaded until all
is written, so that how long processes take to start on these cores is not in it.

    python -m bench.nodes --nodes 1 --idle

prints for how much of their time the models' processes wait while there are images to be read: see
`bench.idle_actors`.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from bench.idle_actors import IDLE_SLEEPS, ActorClock, compare_idle
from bench.node_processes import node_processes, wait_for_nodes
from bench.sleeping_models import build_sleeping_recipe, write_images
from pipeline.environment import set_environment
from pipeline.jobs.ingest import ingest
from pipeline.observing.observer import ObserverGroup, RunObserver
from pipeline.progress import Progress
from pipeline.runners.ray_pool.private_ray import reload_authentication
from pipeline.settings import Settings
from schemas.options import IndexOptions, RunnerOptions, SegmenterOptions

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "bench" / "results" / "nodes.json"
_GATE = 0.95
_WARM_IMAGES = 16
"""For each worker beside those that are counted: done while the last of them still load."""
_NODE_MEMORY = 100 << 20
_CHUNKS_IN_MEMORY = 12
"""Of the store of a node: those that are read, wait, and are with two workers, and room."""


class ClockedProgress(Progress):
    """Knows when all workers had loaded, and how many images were finished by then."""

    def __init__(self, workers: int, batch_size: int) -> None:
        super().__init__()
        self._workers = workers
        self._actors = ActorClock(workers, batch_size)
        self.all_ready: tuple[float, int] | None = None

    @property
    def idle_share(self) -> float:
        """Of the time of all actors, as `ActorClock` has it."""
        return self._actors.idle_share

    def tell(self, observer: RunObserver) -> None:
        super().tell(ObserverGroup([observer, self._actors]))

    def add_finished(self, images: int) -> None:
        super().add_finished(images)
        if self.all_ready is None and self._throughput.workers == self._workers:
            self.all_ready = time.monotonic(), self._finished

    def rate_since(self, ended: float) -> float:
        """Images a second from when all workers had loaded until `ended`."""
        if self.all_ready is None:
            raise SystemExit(f"expected {self._workers} workers, got {self._throughput.workers}")
        began, finished = self.all_ready
        return (self._finished - finished) / (ended - began)


@contextmanager
def cluster_for_tests(nodes: int, cpus: int, memory: int = _NODE_MEMORY) -> Iterator[str]:
    """The address of a head that does no work, and so many nodes, by Ray's means for tests.

    `memory` is what each has for pixels, in bytes.
    """
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": _NODE_MEMORY},
    )
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=cpus, object_store_memory=memory)
        yield cluster.address
    finally:
        cluster.shutdown()


def measure(
    nodes: int, address: str, images: Path, index: Path, args: argparse.Namespace
) -> tuple[float, float]:
    """Images a second of an ingest on the cluster at `address`; the idle share of its actors."""
    workers = nodes * args.workers
    settings = Settings(
        segmenter=SegmenterOptions(name="sam_demo"),
        index=IndexOptions(location=str(index)),
        runner=RunnerOptions(workers=workers, batch_size=args.batch_size, cpus_per_worker=1),
        limit=workers * _per_worker(args),
    )
    progress = ClockedProgress(workers, args.batch_size)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        wait_for_nodes(nodes)
        recipe = build_sleeping_recipe(settings, args.image_s, args.read_s)
        counts = ingest([str(images)], settings, progress, recipe).counts
        ended = time.monotonic()
    finally:
        ray.shutdown()
    if counts.done != settings.limit:
        raise SystemExit(f"expected {settings.limit} images done, got {counts.done}")
    return progress.rate_since(ended), progress.idle_share


def run_kind(
    console: Console,
    kind: str,
    open_cluster: Callable[[int, int], AbstractContextManager[str]],
    images: Path,
    args: argparse.Namespace,
) -> dict[str, float]:
    """The rate by number of nodes, and its share of a line through that of one node."""
    rates: dict[int, float] = {}
    for nodes in (count for count in (1, 2, 4, 8, 16) if count <= args.nodes):
        with (
            tempfile.TemporaryDirectory() as name,
            open_cluster(nodes, 2 * args.workers) as address,
        ):
            rates[nodes], idle = measure(nodes, address, images, Path(name) / "index", args)
        share = rates[nodes] / (nodes * rates[1])
        busy = rates[nodes] * args.image_s / (nodes * args.workers)
        console.print(
            f"{kind}: {nodes} nodes, {rates[nodes]:.2f} images/s, {share:.3f} of linear, "
            f"models at work for {busy:.3f} of the time, their processes idle for {idle:.3f}"
        )
    most = max(rates)
    return {f"images_per_s_{nodes}": round(rate, 3) for nodes, rate in rates.items()} | {
        "nodes": most,
        "share_of_linear": round(rates[most] / (most * rates[1]), 3),
        "models_at_work": round(rates[most] * args.image_s / (most * args.workers), 3),
    }


def measure_idle(console: Console, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """The idle share of the actors of one node, by size of images."""

    def measure_width(width: int) -> float:
        images = write_images(folder / f"images-{width}", args.workers * _per_worker(args), width)
        chunk_bytes = args.batch_size * width * (width * 3 // 4) * 3
        memory = _NODE_MEMORY + _CHUNKS_IN_MEMORY * chunk_bytes
        with cluster_for_tests(1, 2 * args.workers, memory) as address:
            return measure(1, address, images, folder / f"index-{width}", args)[1]

    return compare_idle(console, measure_width)


def _per_worker(args: argparse.Namespace) -> int:
    images: int = args.images + _WARM_IMAGES
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nodes", type=int, default=4, choices=(1, 2, 4, 8, 16), help="at most")
    parser.add_argument("--workers", type=int, default=2, help="of each node")
    parser.add_argument("--images", type=int, default=64, help="for each worker")
    parser.add_argument("--image-s", type=float, default=0.5, help="what a model sleeps an image")
    parser.add_argument("--read-s", type=float, default=0.0, help="what reading sleeps an image")
    parser.add_argument("--width", type=int, default=128, help="of images, pixels; 3/4 as high")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--kind", choices=("test", "processes", "both"), default="both")
    parser.add_argument("--idle", action="store_true", help="how long actors wait, on one node")
    args = parser.parse_args()
    if args.idle and args.nodes > 1:
        parser.error(f"expected --nodes 1 with --idle, got {args.nodes}")
    kinds = {"test": cluster_for_tests, "processes": node_processes}
    chosen = kinds if args.kind == "both" else {args.kind: kinds[args.kind]}
    console, figures = Console(), {}
    variables = {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
        # `ray start` makes a key otherwise, and leaves it in the user's home.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    with tempfile.TemporaryDirectory() as name, set_environment(variables):
        reload_authentication()
        if args.idle:
            idle = measure_idle(console, Path(name), argparse.Namespace(**vars(args) | IDLE_SLEEPS))
            _write_results({"idle_share": {each: round(share, 4) for each, share in idle.items()}})
            return
        count = args.nodes * args.workers * _per_worker(args)
        images = write_images(Path(name) / "images", count, args.width)
        for kind, open_cluster in chosen.items():
            figures[kind] = run_kind(console, kind, open_cluster, images, args)
    _keep(figures, args)
    if any(found["share_of_linear"] < _GATE for found in figures.values()):
        raise SystemExit(f"expected {_GATE} of linear")


def _keep(figures: dict[str, dict[str, float]], args: argparse.Namespace) -> None:
    """Into the file of results; kinds that were left out keep what they had."""
    sleeps = {"image_s": args.image_s, "read_s": args.read_s, "workers": args.workers}
    suffix = f"_reading_{args.read_s:g}_s_at_{args.width}_px" if args.read_s else ""
    _write_results({f"{kind}{suffix}": {**found, **sleeps} for kind, found in figures.items()})


def _write_results(found: dict[str, Any]) -> None:
    kept: dict[str, Any] = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    kept |= found
    kept["cores"] = len(os.sched_getaffinity(0))
    _RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
