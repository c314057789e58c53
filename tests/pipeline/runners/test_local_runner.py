"""The runner in this process: several workers work at the same time, each with its own models."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import fakes

from pipeline.runners.local import LocalRunner
from pipeline.runners.recipe import build_recipe
from schemas.images import Decoded, ImageRef
from schemas.records import EmbeddedImage
from schemas.work import WorkItem

PATIENCE_S = 30


def list_items(paths: Sequence[Path]) -> list[WorkItem]:
    return [WorkItem(ref_of(path), None) for path in paths]


def ref_of(path: Path) -> ImageRef:
    status = path.stat()
    version = f"{status.st_size}-{status.st_mtime_ns}"
    return ImageRef("file", "", str(path), version, status.st_size)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_image_comes_through_once(tmp_path: Path, workers: int) -> None:
    items = list_items(fakes.write_images(tmp_path / "images", 7))
    loads = tmp_path / "loads"
    recipe = fakes.recipe(fakes.settings(tmp_path / "index"), loads=loads)
    with LocalRunner(recipe, workers) as runner:
        chunks = [items[:3], items[3:4], items[4:]]
        results = [result for chunk in runner.run(chunks) for result in chunk]
    assert all(isinstance(result, EmbeddedImage) for result in results)
    assert sorted(result.ref.key for result in results) == [item.ref.key for item in items]
    assert loads.read_text().count("\n") == workers
    assert runner.throughput.workers == workers


def test_two_workers_are_at_two_chunks_at_once(tmp_path: Path) -> None:
    items = list_items(fakes.write_images(tmp_path / "images", 4))
    recipe = fakes.recipe(fakes.settings(tmp_path / "index"))
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def read_together(refs: Sequence[ImageRef]) -> list[Decoded]:
        both.wait()
        return recipe.reader(refs)

    runner = LocalRunner(replace(recipe, reader=read_together), 2)
    results = [result for chunk in runner.run([[item] for item in items]) for result in chunk]
    assert len(results) == 4
    # The first chunk of each worker says nothing of its speed, the second does.
    assert runner.throughput.rate is not None


def test_each_worker_computes_with_the_threads_of_the_recipe(tmp_path: Path) -> None:
    items = list_items(fakes.write_images(tmp_path / "images", 4))
    recipe = fakes.recipe(fakes.settings(tmp_path / "index"))
    seen: list[int] = []

    def read_noting(refs: Sequence[ImageRef]) -> list[Decoded]:
        seen.append(torch.get_num_threads())
        return recipe.reader(refs)

    before = torch.get_num_threads()
    try:
        runner = LocalRunner(replace(recipe, reader=read_noting, threads=3), 2)
        torch.set_num_threads(1)  # as a thread that decodes has it for a while
        list(runner.run([[item] for item in items]))
    finally:
        torch.set_num_threads(before)
    assert seen == [3] * 4


def test_the_first_chunk_of_a_worker_tells_no_rate(tmp_path: Path) -> None:
    items = list_items(fakes.write_images(tmp_path / "images", 2))
    runner = LocalRunner(fakes.recipe(fakes.settings(tmp_path / "index")))
    for number, _ in enumerate(runner.run([[item] for item in items])):
        assert (runner.throughput.rate is None) == (number == 0)


def test_a_bug_in_one_worker_ends_the_run(tmp_path: Path) -> None:
    paths = fakes.write_images(tmp_path / "images", 3)
    poisoned = fakes.write_image(tmp_path / "images" / "bad.png", 3, fakes.POISON)
    recipe = fakes.recipe(fakes.settings(tmp_path / "index"), "bug")
    runner = LocalRunner(recipe, 2)
    with pytest.raises(TypeError, match="a bug in the segmenter"):
        list(runner.run([[item] for item in list_items([*paths, poisoned])]))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


@pytest.mark.parametrize(("workers", "expected"), [(1, 6), (2, 3), (4, 1), (9, 1)])
def test_workers_of_one_process_share_its_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, expected: int
) -> None:
    monkeypatch.setattr("pipeline.runners.recipe.count_usable_cpus", lambda: 6)
    settings = fakes.settings(tmp_path / "index", workers=workers)
    assert build_recipe(settings).threads == expected
