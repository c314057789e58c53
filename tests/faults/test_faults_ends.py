"""Runs that are saturated with faults: each of them ends, and the next one has it all right."""

from __future__ import annotations

import faulthandler
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support import fakes
from support.processes import kill_a_worker

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault
from pipeline.runners.ray_pool.session import ray_session
from schemas.errors import ObjseekError

pytestmark = pytest.mark.long

SEED = 3
STALL_TIMEOUT_S = 4.0
LONGEST_S = 300
MENDED = "mended"
KINDS = ("good", "garbage", "changes", "goes", *fakes.POISONS, *fakes.READ_FAULTS)


@pytest.mark.parametrize(
    ("runs", "images"),
    [(1, 8), pytest.param(50, 12, marks=pytest.mark.faults)],
    ids=["short", "whole"],
)
def test_runs_full_of_faults_end(
    runs: int, images: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    ends: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    options = fakes.settings(tmp_path, "ray", workers=2, cpus_per_worker=0.5).runner
    with ray_session(options, tmp_path / "ray.log"):
        for number in range(runs):
            folder = tmp_path / str(number)
            for place in range(images):
                kind = chance.choice(KINDS)
                make(folder / "images", place, kind)
                kinds[kind] += 1
            with ending(), killing(chance) as killed:
                ends[outcome(folder, images)] += 1
            kinds["killed worker"] += len(killed)
            complete(folder)
    with capsys.disabled():
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        end_counts = ", ".join(f"{count} {end}" for end, count in ends.most_common())
        print(
            f"\n{runs} runs of {images} images, seed {SEED} ({faults}): {ends.total()} ended "
            f"({end_counts}), each completed by the next run"
        )
    assert ends.total() == runs


def make(folder: Path, place: int, kind: str) -> None:
    path = folder / f"{place:03}-{kind}.png"
    colour = fakes.poison(kind) if kind in fakes.POISONS else None
    fakes.write_image(path, place, colour)
    if kind == "garbage":
        path.write_bytes(b"no image")


def outcome(folder: Path, images: int) -> str:
    """Ingest the images of `folder`, and what came of it; each that was listed is counted."""
    settings = fakes.settings(
        folder / "index", "ray", workers=2, cpus_per_worker=0.5, stall_timeout_s=STALL_TIMEOUT_S
    )
    recipe = fakes.recipe(settings)
    reader = partial(fakes.faulty_reader, reader=recipe.reader, mended=folder / MENDED)
    faulty = replace(recipe, reader=reader)
    try:
        counts = ingest([str(folder / "images")], settings, recipe=faulty).counts
    except ObjseekError as exc:
        return type(exc).__name__
    assert counts.handled == counts.listed == images
    assert len(fakes.rows(settings)) == images
    return "with every image accounted for"


def complete(folder: Path) -> None:
    """With the faults mended the next run has every image."""
    (folder / MENDED).touch()
    for path in sorted((folder / "images").iterdir()):
        if not path.stem.endswith("-good"):
            fakes.write_image(path, 5)
    settings = fakes.settings(folder / "index")
    counts = ingest([str(folder / "images")], settings, recipe=fakes.recipe(settings)).counts
    assert counts.done + counts.unchanged == counts.listed
    left = verify(settings, [str(folder / "images")]).findings
    assert {finding.fault for finding in left} <= {Fault.GONE}


@contextmanager
def ending() -> Iterator[None]:
    """End the whole test run if the block does not end."""
    faulthandler.dump_traceback_later(LONGEST_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def killing(chance: random.Random) -> Iterator[list[bool]]:
    """In half of the cases, workers are killed at random moments besides."""
    killed: list[bool] = []
    ended = threading.Event()
    kills, own = chance.random() < 0.5, random.Random(chance.random())

    def kill() -> None:
        while not ended.wait(own.uniform(0.5, 3.0)):
            if kill_a_worker(os.getpid(), own):
                killed.append(True)

    thread = threading.Thread(target=kill)
    if kills:
        thread.start()
    try:
        yield killed
    finally:
        ended.set()
        if kills:
            thread.join()
