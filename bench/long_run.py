"""A long ingest: what it costs beside its models, and what grows with the number of images.

A coarse grid makes the models cheap and everything else dear.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.bucket import BUCKET, put_images, settings_for
from bench.meter import Diary, noted
from bench.process_memory import Memory
from pipeline.jobs.ingest import ingest
from pipeline.runners.recipe import build_recipe

LEAST_IMAGES = 200
_EARLY_IMAGES = 100  # until then the memory of a run may grow
_PREFIX = "long"


def long_run(console: Console, client: Any, work: Path, images: int, points: int) -> dict[str, Any]:
    """What a run costs beside its models, and what grows with it."""
    put_images(client, _PREFIX, images)
    diary, memory = Diary(work / "diary"), Memory()
    diary.folder.mkdir()
    cores = len(os.sched_getaffinity(0))
    grid = {"points_per_side": points, "crop_n_layers": 0}
    settings = settings_for(work / "long", {"workers": cores}, grid)
    started = time.time()
    with memory.watched():
        summary = ingest(
            [f"s3://{BUCKET}/{_PREFIX}/"], settings, None, noted(build_recipe(settings), diary)
        )
    ended = time.time()
    counts = summary.counts
    reads, segments = diary.entries("read"), diary.entries("segment")
    first_read, first_segment = (min(begin for _, begin, *_ in part) for part in (reads, segments))
    wall = ended - first_read
    model_s = sum(cpu for part in ("segment", "embed") for *_, cpu in diary.entries(part))
    done = np.cumsum([count for count, *_ in segments])
    ends = np.array([end for *_, end, _ in segments])
    costs = np.cumsum([cpu for *_, cpu in segments])
    fifths = (0, images // 5), (images * 4 // 5, images)
    early, late = (_slope(done, ends, *fifth) for fifth in fifths)
    early_cost, late_cost = (_slope(done, costs, *fifth) for fifth in fifths)
    at_early = float(ends[np.searchsorted(done, _EARLY_IMAGES)])
    growth = {
        kind: memory.peak(kind, ended) / early_peak - 1
        for kind in ("driver", "actor", "reader")
        if (early_peak := memory.peak(kind, at_early))
    }
    # The longer one looks, the higher is the highest sample: so told over times of one length too.
    stretch = at_early - first_segment
    of_stretch = {
        kind: memory.peak(kind, ended, ended - stretch) / memory.peak(kind, at_early, first_segment)
        - 1
        for kind in growth
    }
    figures = {
        "overhead_frac": round(1 - model_s / (cores * wall), 4),
        # Models load while the first images are read: without that, which does not grow.
        "overhead_loaded_frac": round(1 - model_s / (cores * (ended - first_segment)), 4),
        "start_s": round(first_read - started, 2),
        "start_to_segment_s": round(first_segment - started, 2),
        "rss_growth_frac": round(max(growth.values()), 4),
        "rss_stretch_growth_frac": round(max(of_stretch.values()), 4),
        "time_growth_frac": round(late / early - 1, 4),
        # What of it is the processor's: a segmenter's work does not depend on what came before.
        "segment_cpu_growth_frac": round(late_cost / early_cost - 1, 4),
        "long_images": images,
        "long_objects": counts.objects,
        "long_seconds": round(wall, 1),
    }
    table = Table("long run", "", box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    for kind, share in growth.items():
        table.add_row(f"{kind}, growth since the first {_EARLY_IMAGES} images", f"{share:+.1%}")
        tenths = [first_read + wall * tenth / 10 for tenth in range(1, 11)]
        peaks = " ".join(f"{memory.peak(kind, tenth) / 2**20:.0f}" for tenth in tenths)
        table.add_row(f"{kind}, peak MiB by tenths of the run", peaks)
    for part in ("read", "segment", "embed"):
        cpu = sum(seconds for *_, seconds in diary.entries(part))
        table.add_row(f"{part}, CPU ms an image", f"{1e3 * cpu / images:.1f}")
    console.print(table)
    return figures


def _slope(done: np.ndarray, seconds: np.ndarray, low: int, high: int) -> float:
    """Seconds an image between two counts of images that are done."""
    chosen = (done > low) & (done <= high)
    return float(np.polyfit(done[chosen], seconds[chosen], 1)[0])


def one_and_two_actors(console: Console, work: Path, images: int, points: int) -> dict[str, Any]:
    """Images a second with one model actor and with two, on the bucket of the long run."""
    rates = {}
    for workers in (1, 2):
        index, grid = work / f"actors-{workers}", {"points_per_side": points}
        settings = settings_for(index, {"workers": workers}, grid)
        settings = settings.model_copy(update={"limit": images})
        rates[workers] = ingest([f"s3://{BUCKET}/{_PREFIX}/"], settings).images_per_s
    console.print(f"1 actor {rates[1]:.2f} images/s, 2 actors {rates[2]:.2f} images/s")
    return {"two_actors_ratio": round(rates[2] / rates[1], 3)}
