"""The Ray runner: the same points as in one process, whatever dies on the way."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import ray
from support import fakes
from support.fakes import points, rows
from support.paths import IMPORTS, ROOT
from support.processes import descendants, listening
from support.telling_models import NarrowSegmenter, read_sizes
from support.waiting import PATIENCE_S, until

from pipeline.index_home import manifest_folder
from pipeline.jobs.ingest import ingest
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.runners.ray_pool import blame, read_ahead, runner
from pipeline.runners.ray_pool.session import ray_session
from pipeline.runners.ray_pool.time_limits import Pace
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import ModelError, StalledError, WorkerDiedError
from schemas.manifest import State

COMMAND = [sys.executable, str(ROOT / "tests" / "support" / "fakes.py")]
ENVIRONMENT = {**os.environ, **IMPORTS}


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests here, with room for two workers."""
    folder = tmp_path_factory.mktemp("ray")
    options = fakes.settings(folder, "ray", workers=2, cpus_per_worker=0.5).runner
    with ray_session(options, folder / "ray.log"):
        yield
    assert not ray.is_initialized()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", 20)
    return tmp_path / "images"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakes.settings(tmp_path / "index", "ray", cpus_per_worker=0.5)


def run(images: Path, settings: Settings, recipe: Recipe) -> dict[str, int]:
    counts = ingest([str(images)], settings, recipe=recipe).counts
    names = ("listed", "unchanged", "done", "rejected", "failed", "gone")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


@pytest.mark.long
def test_images_are_read_while_models_load(
    images: Path, settings: Settings, tmp_path: Path
) -> None:
    read = tmp_path / "read"
    read.mkdir()
    recipe = fakes.recipe(settings)
    slow = replace(
        recipe,
        segmenter=partial(fakes.waiting_segmenter, read),
        reader=partial(fakes.telling_reader, reader=recipe.reader, folder=read),
    )
    assert run(images, settings, slow) == {"listed": 20, "done": 20}
    assert len(list(read.iterdir())) == 20
    # What is done is not read again.
    for name in read.iterdir():
        name.unlink()
    fakes.write_image(images / "later.png", 33)
    # Whether the index has its content under another name is only known when the models are there.
    told = replace(slow, segmenter=recipe.segmenter)
    assert run(images, settings, told) == {"listed": 21, "unchanged": 20, "done": 1}
    assert [path.name for path in read.iterdir()] == ["later.png"]


@pytest.mark.long
def test_both_runners_write_the_same_points(images: Path, tmp_path: Path) -> None:
    (images / "bad.png").write_bytes(b"no image")
    local = fakes.settings(tmp_path / "local")
    on_ray = fakes.settings(tmp_path / "ray", "ray", workers=2, cpus_per_worker=0.5)
    expected = {"listed": 21, "done": 20, "rejected": 1}
    assert run(images, local, fakes.recipe(local)) == expected
    assert run(images, on_ray, fakes.recipe(on_ray)) == expected
    local_points, ray_points = points(local), points(on_ray)
    assert len(local_points) == 60
    assert local_points == ray_points
    again = fakes.recipe(on_ray, loads=tmp_path / "loads")
    assert run(images, on_ray, again) == {"listed": 21, "unchanged": 21}
    assert not (tmp_path / "loads").exists()


@pytest.mark.long
def test_only_the_image_that_kills_its_worker_is_given_up(images: Path, settings: Settings) -> None:
    fakes.write_image(images / "0095.png", 3, fakes.POISON)
    counts = run(images, settings, fakes.recipe(settings, "device"))
    assert counts == {"listed": 21, "done": 20, "failed": 1}
    row = rows(settings)["0095.png"]
    assert (row.stage, row.error_class) == ("segment", "WorkerDiedError")
    assert "died twice" in row.message
    assert len(points(settings)) == 60


@pytest.mark.long
def test_two_that_kill_are_both_found(images: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index", "ray", workers=2, cpus_per_worker=0.5)
    for name in ("0015.png", "0155.png"):
        fakes.write_image(images / name, 3, fakes.POISON)
    counts = run(images, settings, fakes.recipe(settings, "abort"))
    assert counts == {"listed": 22, "done": 20, "failed": 2}
    for name in ("0015.png", "0155.png"):
        row = rows(settings)[name]
        assert (row.stage, row.error_class) == ("segment", "WorkerDiedError")
        assert "died twice" in row.message
    assert len(points(settings)) == 60


@pytest.mark.long
def test_only_the_image_that_kills_its_reader_is_given_up(images: Path, settings: Settings) -> None:
    recipe = fakes.recipe(settings)
    reader = partial(fakes.misbehaving_reader, reader=recipe.reader, name="006.png")
    counts = run(images, settings, replace(recipe, reader=reader))
    assert counts == {"listed": 20, "done": 19, "failed": 1}
    row = rows(settings)["006.png"]
    assert (row.stage, row.error_class) == ("read", "WorkerDiedError")
    assert run(images, settings, recipe) == {"listed": 20, "done": 1, "unchanged": 19}


@pytest.mark.long
@pytest.mark.parametrize("name", ["000.png", "019.png"])
def test_only_the_image_that_never_ends_is_given_up(
    images: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hangs = tmp_path / "hangs"

    class KnowingPace(Pace):
        """Gives a worker all the time there is, and none once it hangs."""

        def limit_s(self, images: int) -> float:
            return 0.0 if hangs.exists() else math.inf

        def record_timeout(self) -> None:
            hangs.unlink()

    monkeypatch.setattr(runner, "Pace", KnowingPace)
    fakes.write_image(images / name, 3, fakes.POISON)
    counts = run(images, settings, fakes.recipe(settings, "hang", flag=hangs))
    listed = len(list(images.iterdir()))
    assert counts == {"listed": listed, "done": listed - 1, "failed": 1}
    row = rows(settings)[name]
    assert (row.stage, row.error_class) == ("segment", "WorkerDiedError")
    assert re.search(
        r"died twice of file://.*/\d+\.png alone \(TimeoutError: ended after", row.message
    )


@pytest.mark.long
def test_only_the_image_whose_reading_never_ends_is_given_up(
    images: Path, settings: Settings
) -> None:
    recipe = fakes.recipe(settings)
    reader = partial(
        fakes.misbehaving_reader,
        reader=recipe.reader,
        name="006.png",
        misbehave=fakes.hang_at_limit,
    )
    counts = run(images, settings, replace(recipe, reader=reader))
    assert counts == {"listed": 20, "done": 19, "failed": 1}
    assert rows(settings)["006.png"].stage == "read"


@pytest.mark.long
def test_only_the_image_that_takes_all_memory_is_rejected(images: Path, settings: Settings) -> None:
    recipe = fakes.recipe(settings)
    reader = partial(
        fakes.misbehaving_reader,
        reader=recipe.reader,
        name="006.png",
        misbehave=fakes.exhaust_memory,
    )
    counts = run(images, settings, replace(recipe, reader=reader))
    assert counts == {"listed": 20, "done": 19, "rejected": 1}
    row = rows(settings)["006.png"]
    assert (row.stage, row.error_class) == ("read", "BadImageError")
    assert row.message == (
        f"expected an image to take at most 2048 MiB, got one that takes more ({row.uri})"
    )


def impatient(tmp_path: Path, stall_timeout_s: float) -> Settings:
    """For runs that come to a stand, however fast or slow all else is."""
    return fakes.settings(
        tmp_path / "index", "ray", cpus_per_worker=0.5, stall_timeout_s=stall_timeout_s
    )


@pytest.mark.long
def test_a_run_in_which_nothing_moves_ends_and_says_where_it_stood(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow reader is not what ends.
    monkeypatch.setattr(read_ahead, "_READ_SHARE", 1000)
    settings = impatient(tmp_path, 4)
    for path in images.iterdir():
        fakes.write_image(path, 3, fakes.POISON)
    with pytest.raises(StalledError) as caught:
        run(images, settings, fakes.recipe(settings, "hang"))
    assert re.fullmatch(
        r"expected an image to come through within 4 s \(stall_timeout_s\), got none: "
        r"(workers were at file://.*/\d+\.png|a worker with .* was waited for|"
        r"file://.*/\d+\.png was being read), see .*\.log",
        str(caught.value),
    )


@pytest.mark.long
def test_models_that_never_load_end_the_run(images: Path, tmp_path: Path) -> None:
    settings = impatient(tmp_path, 3)
    recipe = replace(fakes.recipe(settings), segmenter=fakes.hang)
    with pytest.raises(StalledError, match=r"a worker with 0\.5 CPU, 0 GPU was waited for"):
        run(images, settings, recipe)


@pytest.mark.long
def test_models_that_no_image_survives_end_the_run(
    images: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blame, "_MOST_GIVEN_UP", 3)  # ten take half a minute
    for number in range(20):
        fakes.write_image(images / f"{number:03}.png", 3, fakes.POISON)
    message = r"3 images in a row were too much for the models, .* of the last: .* died twice of "
    with pytest.raises(WorkerDiedError, match=message):
        run(images, settings, fakes.recipe(settings, "abort"))
    # Those that were given up stand in the manifest, each by name.
    assert {row.state for row in rows(settings).values()} == {State.FAILED}
    assert len(rows(settings)) == 2


@pytest.mark.long
def test_an_image_that_fails_alone_does_not_kill(images: Path, settings: Settings) -> None:
    fakes.write_image(images / "0095.png", 3, fakes.POISON)
    counts = run(images, settings, fakes.recipe(settings, "error"))
    assert counts == {"listed": 21, "done": 20, "failed": 1}


@pytest.mark.long
def test_a_bug_in_a_worker_comes_with_its_traceback(images: Path, settings: Settings) -> None:
    fakes.write_image(images / "0095.png", 3, fakes.POISON)
    with pytest.raises(TypeError, match=r"in _misbehave(.|\n)*a bug in the segmenter"):
        run(images, settings, fakes.recipe(settings, "bug"))


@pytest.mark.long
def test_weights_that_cannot_be_loaded_are_one_sentence(images: Path, settings: Settings) -> None:
    recipe = replace(fakes.recipe(settings), segmenter=fakes.broken_segmenter)
    with pytest.raises(ModelError) as caught:
        run(images, settings, recipe)
    assert str(caught.value) == "expected weights at /nowhere, and none are there"


@pytest.mark.long
def test_a_worker_that_dies_while_it_loads_is_one_sentence(
    images: Path, settings: Settings
) -> None:
    recipe = replace(fakes.recipe(settings), segmenter=fakes.dying_segmenter)
    with pytest.raises(WorkerDiedError, match=r"ended while it loaded the models, see .*\.log"):
        run(images, settings, recipe)


@pytest.mark.long
def test_a_worker_whose_machine_goes_while_it_loads_is_replaced(
    images: Path, settings: Settings, tmp_path: Path
) -> None:
    loads = tmp_path / "loads"
    recipe = replace(
        fakes.recipe(settings), segmenter=partial(fakes.dying_at_first_segmenter, loads)
    )
    assert run(images, settings, recipe) == {"listed": 20, "done": 20}
    assert loads.read_text().count("\n") == 2


@pytest.mark.long
def test_how_many_images_fit_into_memory_is_found_once_for_all_workers(
    images: Path, tmp_path: Path
) -> None:
    class Noting(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    notes: list[str] = []
    log = tmp_path / "log"
    settings = fakes.settings(tmp_path / "index", "ray", workers=2, cpus_per_worker=0.5)
    recipe = replace(fakes.recipe(settings), segmenter=partial(NarrowSegmenter, log, 1))
    counts = ingest([str(images)], settings, Noting(), recipe).counts
    assert (counts.listed, counts.done) == (20, 20)
    assert notes[-1] == "out of memory: from now on 1 image at once"
    # Each worker, until it has found out or been told; none of it is done again by anyone.
    assert sum(size > 1 for size in read_sizes(log)) <= 2 * 2
    assert read_sizes(log).count(1) == 20


def written(index: Path) -> int:
    return len(list(Manifest(manifest_folder(str(index))).latest()))


@pytest.mark.parametrize("runner", [pytest.param("ray", marks=pytest.mark.long), "local"])
def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(
    images: Path, tmp_path: Path, runner: str
) -> None:
    index = tmp_path / "index"
    # What is finished is written at once, and nothing comes past the image that hangs.
    fakes.write_image(images / "010.png", 10, fakes.POISON)
    job = subprocess.Popen(
        [*COMMAND, str(images), str(index), runner, "0", "", "1", "hang", str(tmp_path / "hangs")],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A terminal sends Ctrl-C to all processes of the job, Ray's included.
        start_new_session=True,
    )
    try:
        until(lambda: written(index) > 0 or job.poll() is not None)
        os.killpg(job.pid, signal.SIGINT)
        out, stderr = job.communicate(timeout=PATIENCE_S)
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 130, stderr
    assert out == ""
    assert stderr.endswith("Interrupted.\n")
    assert "Traceback" not in stderr
    finished = written(index)
    assert 0 < finished < 20
    local = fakes.settings(index)
    assert run(images, local, fakes.recipe(local)) == {
        "listed": 20,
        "done": 20 - finished,
        "unchanged": finished,
    }
    assert len(points(local)) == 60


def test_ray_listens_on_loopback_alone() -> None:
    ours = [os.getpid(), *descendants(os.getpid())]
    assert len(ours) > 3
    assert {address for pid in ours for address in listening(pid)} == {"127.0.0.1"}
