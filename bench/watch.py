"""From a PUT until the image is to be found: by events of a queue, and by listings alone.

    python -m bench.watch --images 50

`objseek watch` is a process of its own over a folder index, with the bundled models; bucket and
queue are moto's, which sends the bucket's notifications itself. Scenes are put one by one, with
pauses that are random. An image can be found when the round that wrote it is over, for then a
search gets the folder. The peer is the same watch without its queue, with a listing every 30 s, its
default, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from rich.console import Console

from bench.bucket import BUCKET, put_images, s3_server
from pipeline.environment import set_environment
from pipeline.index_home import manifest_folder
from pipeline.manifest.manifest import Manifest

_RESULTS = Path(__file__).parent / "results" / "watch.json"
_PATIENCE_S = 300.0
_FIRST = "first.jpg"


class Watch:
    """A watch that runs, and the rounds that it has told of: when they began and ended, UTC."""

    def __init__(self, process: subprocess.Popen[str], index: Path) -> None:
        self._process, self._index = process, index
        self.rounds: list[tuple[datetime, datetime]] = []
        self.images = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            summary = json.loads(line)
            started = datetime.fromisoformat(summary["started_at"])
            self.rounds.append((started, started + timedelta(seconds=summary["seconds"])))
            self.images += summary["done"]

    def wait_for(self, images: int) -> None:
        """Until so many images have been ingested."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.images < images:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise SystemExit(f"expected {images} images, got {self.images}")
            time.sleep(0.1)

    def found_at(self) -> dict[str, datetime]:
        """When each image could first be found, by the name of its key."""
        rows = Manifest(manifest_folder(str(self._index))).latest()
        return {
            row.uri.rpartition("/")[2]: next(
                ended for started, ended in self.rounds if started <= row.at <= ended
            )
            for row in rows
        }


@contextmanager
def watching(prefix: str, index: Path, endpoint_url: str, *more: str) -> Iterator[Watch]:
    """`objseek watch` of a prefix of the bucket, until the block ends."""
    command = [
        str(Path(sys.executable).parent / "objseek"), "watch", f"s3://{BUCKET}/{prefix}/",
        "--index", str(index), "--endpoint-url", endpoint_url, "--runner", "local", "--json", *more,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Watch(process, index)
        finally:
            process.send_signal(signal.SIGTERM)


def queue_of(client: Any, prefix: str) -> str:
    """The URL of a queue that gets the notifications of all that happens below a prefix."""
    sqs = boto3.client("sqs", endpoint_url=client.meta.endpoint_url)
    url: str = sqs.create_queue(QueueName=prefix)["QueueUrl"]
    response = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    client.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": response["Attributes"]["QueueArn"],
                    "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                }
            ]
        },
    )
    return url


def put_one_by_one(
    client: Any, scenes: Sequence[bytes], prefix: str, pause_s: float
) -> dict[str, datetime]:
    """When each PUT had been answered, by the name of its key."""
    chance = random.Random(11)
    put_at = {}
    for number, scene in enumerate(scenes):
        time.sleep(chance.uniform(0, 2 * pause_s))
        name = f"{number:04d}.jpg"
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=scene)
        put_at[name] = datetime.now().astimezone()
    return put_at


def measured(
    client: Any, scenes: Sequence[bytes], prefix: str, index: Path, pause_s: float, *more: str
) -> dict[str, float]:
    """Seconds from a PUT until the image can be found; `first_s` is with loading the models."""
    with watching(prefix, index, client.meta.endpoint_url, *more) as watch:
        began = time.monotonic()
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{_FIRST}", Body=scenes[0])
        watch.wait_for(1)
        first_s = time.monotonic() - began
        put_at = put_one_by_one(client, scenes, prefix, pause_s)
        watch.wait_for(1 + len(scenes))
        found_at = watch.found_at()
    seconds = [(found_at[name] - at).total_seconds() for name, at in put_at.items()]
    p50, p95 = np.quantile(seconds, [0.5, 0.95]).round(2).tolist()
    return {"p50_s": p50, "p95_s": p95, "first_s": round(first_s, 1), "rounds": len(watch.rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between PUTs, on average")
    parser.add_argument("--points-per-side", type=int, default=8, help="how closely to look")
    args = parser.parse_args()
    console = Console()
    looks = {
        "OBJSEEK_SEGMENTER__POINTS_PER_SIDE": str(args.points_per_side),
        # As an actor has it. Two that wait for each other take minutes where others are at work.
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as name, s3_server() as client, set_environment(looks):
        keys = put_images(client, "scenes", args.images)
        scenes = [client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys.values()]
        url = queue_of(client, "events")
        events = measured(
            client, scenes, "events", Path(name) / "events", args.pause, "--queue", url
        )
        listings = measured(client, scenes, "listings", Path(name) / "listings", args.pause)
    figures: dict[str, Any] = {
        "images": args.images,
        "pause_s": args.pause,
        "points_per_side": args.points_per_side,
    }
    for by, found in (("events", events), ("listings", listings)):
        console.print(
            f"{by}: {found['p50_s']:.2f} s (p50), {found['p95_s']:.2f} s (p95) from a PUT until "
            f"the image is found, in {found['rounds']} rounds; {found['first_s']:.1f} s for the "
            "first, whose models had to be loaded"
        )
        figures |= {f"{by}_{name}": value for name, value in found.items()}
    figures["ratio"] = round(listings["p50_s"] / events["p50_s"], 1)
    figures["cores"] = len(os.sched_getaffinity(0))
    console.print(f"events are {figures['ratio']:.1f} times as fast as listings (p50)")
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
