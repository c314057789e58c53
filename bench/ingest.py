"""Ingest against the script that people write, and what it costs beside its models.

    python -m bench.ingest --images 12 --rounds 3
    python -m bench.ingest --long 5000

One bucket behind an S3 server on loopback, one machine, one set of weights. First, in turns: the
script (see `bench.script`), a plain loop over our own workers, objseek on Ray, all in float32, and
objseek in the precision that it takes by itself. Unless in float32 all masks have their match at an
IoU of 0.99 both ways and matched vectors agree to a cosine of 0.99, no ratio is told; for another
precision the share of masks with a match at 0.9 is printed beside it. Then one long run with a
coarse grid, which makes the models cheap and everything else dear: how much of the wall is not
spent in a model, and what grows with the number of images.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import torch
from botocore.exceptions import BotoCoreError
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.meter import Diary, Memory, noted
from bench.parity import Parity, ious, parity
from bench.script import OFF, Found, Script
from pipeline.demo.scenes import SCENE_HW, compose
from pipeline.demo.sprites import bundled_sprites
from pipeline.environment import environment
from pipeline.ingest import ingest
from pipeline.listing import chunks
from pipeline.manifest import Manifest, manifest_folder
from pipeline.process import ModelWorker, recipe_of
from pipeline.progress import Counts
from pipeline.settings import Settings, load_settings
from pipeline.writer import Writer
from schemas.options import IndexOptions
from workers import catalog
from workers.clip_demo_model import create_clip_demo
from workers.embedders.clip import quietly
from workers.indexes import open_index
from workers.precision import resolve_precision
from workers.sam_demo_model import build_sam_demo
from workers.weights import fill, read_weights

_RESULTS = Path(__file__).parent / "results" / "ingest.json"
_BUCKET = "bench"
_SERVER_START_S = 30.0
_MIN_COSINE = 0.99
_ALIKE_IOU = 0.9
_DIFFERENT_SCENES = 100
_EARLY_IMAGES = 100  # until then the memory of a run may grow
_LEAST_LONG = 200


@contextmanager
def s3_server() -> Iterator[Any]:
    """A client of moto's server, in a process of its own; the AWS_ variables fit it meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    access = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": url,
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with environment(access):
            client = boto3.client("s3")
            deadline = time.monotonic() + _SERVER_START_S
            while True:
                try:
                    client.create_bucket(Bucket=_BUCKET)
                    break
                except BotoCoreError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
            yield client
    finally:
        server.terminate()
        server.wait()


def put_images(client: Any, prefix: str, count: int) -> dict[str, str]:
    """Upload `count` scenes, none the same to the byte; their keys by name."""
    scenes = [
        compose(np.random.default_rng([5, n]), bundled_sprites(), SCENE_HW).image
        for n in range(min(count, _DIFFERENT_SCENES))
    ]
    keys = {}
    for number in range(count):
        body = io.BytesIO()
        picture = Image.fromarray(scenes[number % len(scenes)])
        picture.save(body, "JPEG", quality=60 + number // len(scenes) % 36, comment=f"{number}")
        name = f"{number:05d}.jpg"
        keys[name] = f"{prefix}/{name}"
        client.put_object(Bucket=_BUCKET, Key=keys[name], Body=body.getvalue())
    return keys


def settings_for(index: Path, runner: Mapping[str, Any], **segmenter: Any) -> Settings:
    return load_settings(
        None,
        {"index": {"location": str(index)}, "runner": dict(runner), "segmenter": segmenter},
    )


def indexed(index: Path) -> Found:
    """What an ingest has written, as the script's result."""
    opened = open_index(IndexOptions(location=str(index)), None)
    found: Found = {}
    for point in opened.scroll():
        vectors = found.setdefault(Path(point.payload.key).name, {})
        if point.payload.rle is not None:
            identity = uuid.UUID(point.object_id)
            vectors[point.payload.rle.to_rle()] = opened.stored([identity])[identity].vector
    opened.close()
    return found


def agreement(theirs: Found, mine: Found) -> tuple[Parity, float]:
    """How many masks have their match, and the least cosine of matched vectors."""
    if theirs.keys() != mine.keys():
        raise SystemExit("the images differ: no speed is told")
    total, least = Parity(), 1.0
    for name, wanted in theirs.items():
        got = mine[name]
        total += parity(list(wanted), list(got))
        vectors = list(got.values())
        for vector, near in zip(wanted.values(), ious(wanted, got), strict=True):
            if near.size and near.max() >= 0.99:
                least = min(least, float(vector @ vectors[near.argmax()]))
    return total, least


def checked(theirs: Found, mine: Found) -> Parity:
    """Raises SystemExit where the outputs do not agree."""
    total, cosine = agreement(theirs, mine)
    if total.matched_share < 1 or cosine < _MIN_COSINE:
        raise SystemExit(f"the outputs do not agree, so no speed is told: {total}, {cosine:.4f}")
    return total


def plain_loop(worker: ModelWorker, settings: Settings, source: str) -> None:
    """Our own workers, one image after the other, nothing beside them."""
    counts = Counts()
    reader = recipe_of(settings).reader
    listed = chunks([source], settings.store, 1, None, counts.listing)
    manifest = Manifest(manifest_folder(settings.index.location))
    with (
        closing(open_index(settings.index, worker.info.dim, create=True)) as index,
        Writer(index, manifest, worker.info.fingerprint, counts, new_index=True) as writer,
    ):
        for refs in listed:
            writer.add(worker.process(reader(refs)))


def against_the_script(
    console: Console, client: Any, work: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Three ways to do the same, in turns."""
    keys = put_images(client, "scenes", args.images)
    with quietly():
        sam, clip = build_sam_demo(), create_clip_demo()
    for model, name in ((sam, "sam_demo"), (clip, "clip_demo")):
        fill(model, read_weights(catalog.bundled_path(catalog.find(name))), name)
        model.eval()
    script = Script(sam, clip, args.points_per_side)
    ray = {"workers": len(os.sched_getaffinity(0))}
    grid = {"points_per_side": args.points_per_side, **OFF}
    exact = {**grid, "precision": "fp32"}
    source = f"s3://{_BUCKET}/scenes/"
    worker = ModelWorker(recipe_of(settings_for(work, {"name": "local"}, **exact)))
    ratios: dict[str, list[float]] = {"script": [], "loop": [], "script, precision auto": []}
    match, alike = Parity(), Parity()
    for number in range(args.rounds):
        times: dict[str, float] = {}
        started = time.perf_counter()
        theirs = script.run(client, _BUCKET, keys)
        times["script"] = time.perf_counter() - started
        index = work / f"loop-{number}"
        started = time.perf_counter()
        plain_loop(worker, settings_for(index, {"name": "local"}, **exact), source)
        times["loop"] = time.perf_counter() - started
        checked(theirs, indexed(index))
        for name, parameters in (("objseek", exact), ("objseek, precision auto", grid)):
            index = work / f"{name}-{number}"
            summary = ingest([source], settings_for(index, ray, **parameters))
            # Beyond the fixed start, which is told apart.
            times[name] = summary.counts.handled / summary.images_per_s
            if name == "objseek":
                match += checked(theirs, indexed(index))
            else:
                found = indexed(index)
                for key, wanted in theirs.items():
                    alike += parity(list(wanted), list(found[key]), _ALIKE_IOU)
        ratios["script"].append(times["script"] / times["objseek"])
        ratios["loop"].append(times["loop"] / times["objseek"])
        automatic = times["script"] / times["objseek, precision auto"]
        ratios["script, precision auto"].append(automatic)
        told = ", ".join(f"{side} {seconds:.1f} s" for side, seconds in times.items())
        console.print(f"round {number + 1} of {args.rounds}: {told}")
    figures = {
        "script_ratio": round(statistics.median(ratios["script"]), 3),
        "script_ratio_min": round(min(ratios["script"]), 3),
        "script_ratio_auto": round(statistics.median(ratios["script, precision auto"]), 3),
        "loop_ratio": round(statistics.median(ratios["loop"]), 3),
        "objects_match": round(match.matched_share, 5),
        "objects_alike_auto": round(alike.matched_share, 5),
        "objects": match.ours // args.rounds,
        "images": args.images,
        "points_per_side": args.points_per_side,
    }
    table = Table("objects a second, against", "median", "least", box=None)
    for side, values in ratios.items():
        table.add_row(side, f"{statistics.median(values):.2f}", f"{min(values):.2f}")
    console.print(table)
    console.print(
        f"{figures['objects']} objects, {match.matched_share:.2%} matched both ways; "
        f"precision auto: {alike.matched_share:.2%} at an IoU of {_ALIKE_IOU}"
    )
    return figures


def one_and_two_actors(console: Console, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Images a second with one model actor and with two, on the bucket of the long run."""
    rates = {}
    for workers in (1, 2):
        settings = settings_for(
            work / f"actors-{workers}", {"workers": workers}, points_per_side=args.points_per_side
        ).model_copy(update={"limit": args.actor_images})
        rates[workers] = ingest([f"s3://{_BUCKET}/long/"], settings).images_per_s
    console.print(f"1 actor {rates[1]:.2f} images/s, 2 actors {rates[2]:.2f} images/s")
    return {"two_actors_ratio": round(rates[2] / rates[1], 3)}


def long_run(console: Console, client: Any, work: Path, images: int, points: int) -> dict[str, Any]:
    """What a run costs beside its models, and what grows with it."""
    put_images(client, "long", images)
    diary, memory = Diary(work / "diary"), Memory()
    diary.folder.mkdir()
    cores = len(os.sched_getaffinity(0))
    settings = settings_for(
        work / "long", {"workers": cores}, points_per_side=points, crop_n_layers=0
    )
    started = time.time()
    with memory.watched():
        summary = ingest(
            [f"s3://{_BUCKET}/long/"], settings, None, noted(recipe_of(settings), diary)
        )
    ended = time.time()
    counts = summary.counts
    reads, segments = diary.entries("read"), diary.entries("segment")
    first_read = min(begin for _, begin, _, _ in reads)
    # The last chunk leaves workers idle: until then everyone has work.
    wall = ended - first_read
    model_s = sum(cpu for part in ("segment", "embed") for *_, cpu in diary.entries(part))
    done = np.cumsum([count for count, *_ in segments])
    ends = np.array([end for *_, end, _ in segments])
    early, late = _slope(done, ends, 0, images // 5), _slope(done, ends, images * 4 // 5, images)
    at_early = float(ends[np.searchsorted(done, _EARLY_IMAGES)])
    growth = {
        kind: memory.peak(kind, ended) / memory.peak(kind, at_early) - 1
        for kind in ("driver", "actor", "reader")
        if memory.peak(kind, at_early)
    }
    figures = {
        "overhead_frac": round(1 - model_s / (cores * wall), 4),
        "start_s": round(first_read - started, 2),
        "rss_growth_frac": round(max(growth.values()), 4),
        "time_growth_frac": round(late / early - 1, 4),
        "long_images": images,
        "long_objects": counts.objects,
        "long_seconds": round(wall, 1),
    }
    table = Table("long run", "", box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    for kind, share in growth.items():
        peak = memory.peak(kind, ended) / 2**20
        table.add_row(
            f"{kind}, peak MiB, growth since {_EARLY_IMAGES} images", f"{peak:.0f}, {share:+.1%}"
        )
        tenths = [first_read + wall * tenth / 10 for tenth in range(1, 11)]
        peaks = " ".join(f"{memory.peak(kind, tenth) / 2**20:.0f}" for tenth in tenths)
        table.add_row(f"{kind}, peak MiB by tenths of the run", peaks)
    for part in ("read", "segment", "embed"):
        cpu = sum(seconds for *_, seconds in diary.entries(part))
        table.add_row(f"{part}, CPU ms an image", f"{1e3 * cpu / images:.1f}")
    console.print(table)
    return figures


def _slope(done: np.ndarray, ends: np.ndarray, low: int, high: int) -> float:
    """Seconds an image between two counts of images that are done."""
    chosen = (done > low) & (done <= high)
    return float(np.polyfit(done[chosen], ends[chosen], 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=8, help="of the run against the script")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the script out")
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--long", type=int, default=1000, help="images of the long run, 0: none")
    parser.add_argument("--actor-images", type=int, default=48, help="of the run with 1, 2 actors")
    parser.add_argument("--long-points", type=int, default=8, help="its points per side")
    args = parser.parse_args()
    if 0 < args.long < _LEAST_LONG:
        parser.error(f"what grows can be told of {_LEAST_LONG} images or more, got {args.long}")

    console = Console()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, s3_server() as client:
        if args.rounds:
            figures |= against_the_script(console, client, Path(name), args)
        if args.long:
            figures |= long_run(console, client, Path(name), args.long, args.long_points)
            figures |= one_and_two_actors(console, Path(name), args)
    figures["machine"] = (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}, "
        f"{resolve_precision('auto', 'cpu')}"
    )
    console.print(figures["machine"])
    _RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    _RESULTS.write_text(json.dumps(before | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
