"""An ingest in one process: what is written, counted, left alone and done again."""

from __future__ import annotations

import os
import signal
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support import fakes
from support.fakes import rows

from pipeline.index_home import manifest_folder
from pipeline.ingestion.writer import hold_interrupts
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import IndexBusyError, ModelError, UsageError
from schemas.images import ImageRef
from schemas.manifest import State
from schemas.points import Point
from workers.indexes.open import open_index


def run(
    images: Path, settings: Settings, recipe: Recipe | None = None, progress: Progress | None = None
) -> IngestSummary:
    return ingest([str(images)], settings, progress, recipe or fakes.recipe(settings))


def points(settings: Settings) -> list[Point]:
    with open_index(settings.index, None) as index:  # type: ignore[attr-defined]
        return list(index.scroll())


def keys(settings: Settings) -> set[str]:
    return {Path(point.payload["key"]).name for point in points(settings)}


def states(counts: IngestCounts) -> dict[str, int]:
    names = ("listed", "unchanged", "done", "rejected", "failed", "gone")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", 10)
    return tmp_path / "images"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakes.settings(tmp_path / "index")


def test_every_image_and_object_becomes_a_point(images: Path, settings: Settings) -> None:
    summary = run(images, settings)
    assert states(summary.counts) == {"listed": 10, "done": 10}
    assert summary.counts.objects == 20
    found = points(settings)
    assert len(found) == 30
    assert len({point.id for point in found}) == 30
    assert keys(settings) == {f"{number:03}.png" for number in range(10)}
    row = rows(settings)["003.png"]
    assert (row.state, row.objects) == (State.DONE, 2)
    generations = {point.payload["generation"] for point in found if "003" in point.payload["key"]}
    assert generations == {row.generation}


def test_a_second_run_embeds_nothing_and_loads_no_model(
    images: Path, settings: Settings, tmp_path: Path
) -> None:
    recipe = fakes.recipe(settings, loads=tmp_path / "loads")
    run(images, settings, recipe)
    before = {point.id: point.payload["ingested_at"] for point in points(settings)}
    summary = run(images, settings, recipe)
    assert states(summary.counts) == {"listed": 10, "unchanged": 10}
    assert summary.log is None
    assert (tmp_path / "loads").read_text().count("\n") == 1
    assert {point.id: point.payload["ingested_at"] for point in points(settings)} == before


def test_a_changed_image_is_replaced_whole(images: Path, settings: Settings) -> None:
    run(images, settings)
    before = {point.id for point in points(settings)}
    fakes.write_image(images / "004.png", 77, (200, 10, 10))
    summary = run(images, settings)
    assert states(summary.counts) == {"listed": 10, "done": 1, "unchanged": 9}
    after = points(settings)
    assert len(after) == 30
    changed = {point.id for point in after if point.payload["key"].endswith("004.png")}
    assert len(changed) == 3
    assert not changed & before
    assert len(before - {point.id for point in after}) == 3


def test_a_changed_setting_is_a_new_generation(images: Path, tmp_path: Path) -> None:
    run(images, fakes.settings(tmp_path / "index"))
    first = {point.payload["fingerprint"] for point in points(fakes.settings(tmp_path / "index"))}
    changed = fakes.settings(tmp_path / "index", margin=0.4)
    summary = run(images, changed)
    assert states(summary.counts) == {"listed": 10, "done": 10}
    found = points(changed)
    assert len(found) == 30
    assert len({point.payload["fingerprint"] for point in found} | first) == 2
    assert states(run(images, changed).counts) == {"listed": 10, "unchanged": 10}


def test_new_images_are_added_to_what_is_there(images: Path, settings: Settings) -> None:
    run(images, settings)
    fakes.write_image(images / "more" / "900.png", 90)
    assert states(run(images, settings).counts) == {"listed": 11, "done": 1, "unchanged": 10}


def test_bad_images_are_rejected_with_a_reason_and_not_tried_again(
    images: Path, settings: Settings
) -> None:
    (images / "bad.png").write_bytes(b"no image at all")
    whole = (images / "002.png").read_bytes()
    (images / "short.png").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").write_bytes(b"")
    (images / "notes.txt").write_text("no image by its name")
    summary = run(images, settings)
    assert states(summary.counts) == {"listed": 12, "done": 10, "rejected": 2}
    assert sum(summary.details.skipped.values()) == 2
    row = rows(settings)["bad.png"]
    assert (row.state, row.stage, row.error_class) == (State.REJECTED, "read", "BadImageError")
    assert "bad.png" in row.message
    assert states(run(images, settings).counts) == {"listed": 12, "unchanged": 12}


def test_an_image_that_has_become_bad_leaves_the_index(images: Path, settings: Settings) -> None:
    run(images, settings)
    (images / "005.png").write_bytes(b"overwritten")
    assert states(run(images, settings).counts) == {"listed": 10, "rejected": 1, "unchanged": 9}
    assert "005.png" not in keys(settings)


def vanishing_reader(refs: list[ImageRef], reader: partial[object]) -> object:
    for ref in refs:
        if ref.key.endswith("006.png"):
            os.unlink(ref.key)
        if ref.key.endswith("007.png"):
            fakes.write_image(Path(ref.key), 70, (9, 9, 9))
    return reader(refs)


def test_images_that_go_or_change_after_the_listing(images: Path, settings: Settings) -> None:
    run(images, settings)
    for number in (6, 7):
        fakes.write_image(images / f"{number:03}.png", 60 + number)
    recipe = fakes.recipe(settings)
    summary = run(
        images, settings, replace(recipe, reader=partial(vanishing_reader, reader=recipe.reader))
    )
    assert states(summary.counts) == {"listed": 10, "unchanged": 8, "gone": 1, "failed": 1}
    assert rows(settings)["006.png"].state == State.GONE
    assert rows(settings)["007.png"].error_class == "ObjectChangedError"
    assert keys(settings) == {f"{number:03}.png" for number in range(10)} - {"006.png"}
    assert states(run(images, settings).counts) == {"listed": 9, "done": 1, "unchanged": 8}


def test_an_image_that_fails_alone_fails_and_is_tried_again(
    images: Path, settings: Settings
) -> None:
    fakes.write_image(images / "poison.png", 3, fakes.POISON)
    summary = run(images, settings, fakes.recipe(settings, "error"))
    assert states(summary.counts) == {"listed": 11, "done": 10, "failed": 1}
    row = rows(settings)["poison.png"]
    assert (row.state, row.stage, row.error_class) == (State.FAILED, "segment", "RuntimeError")
    assert "no memory" in row.message
    assert states(run(images, settings).counts) == {"listed": 11, "done": 1, "unchanged": 10}


def test_a_chunk_that_fails_whole_is_done_image_by_image(images: Path, settings: Settings) -> None:
    fakes.write_image(images / "poison.png", 3, fakes.POISON)
    summary = run(images, settings, fakes.recipe(settings, "error in a batch"))
    assert states(summary.counts) == {"listed": 11, "done": 11}


def test_a_vector_that_the_index_would_refuse_is_the_image_s_own_failure(
    images: Path, settings: Settings
) -> None:
    fakes.write_image(images / "poison.png", 3, fakes.POISON)
    recipe = replace(fakes.recipe(settings), embedder=partial(fakes.embedder, zero=True))
    summary = run(images, settings, recipe)
    assert states(summary.counts) == {"listed": 11, "done": 10, "failed": 1}
    row = rows(settings)["poison.png"]
    assert (row.stage, row.error_class) == ("embed", "InvalidVectorError")


def test_a_bug_is_raised_and_what_was_done_is_kept(images: Path, settings: Settings) -> None:
    fakes.write_image(images / "zz.png", 3, fakes.POISON)
    with pytest.raises(TypeError, match="a bug in the segmenter"):
        run(images, settings, fakes.recipe(settings, "bug"))
    assert len(keys(settings)) == 8
    assert states(run(images, settings).counts) == {"listed": 11, "done": 3, "unchanged": 8}


def test_weights_that_cannot_be_loaded_are_one_sentence(images: Path, settings: Settings) -> None:
    recipe = replace(fakes.recipe(settings), segmenter=fakes.broken_segmenter)
    with pytest.raises(ModelError, match="expected weights at /nowhere"):
        run(images, settings, recipe)
    assert not (Path(settings.index.location) / "points").exists()


def test_weights_that_changed_in_place_are_told(images: Path, settings: Settings) -> None:
    run(images, settings)
    (known,) = manifest_folder(settings.index.location).glob("pipeline-*")
    known.write_text("of others")
    with pytest.raises(ModelError, match="run the command again"):
        run(images, settings)
    assert states(run(images, settings).counts) == {"listed": 10, "unchanged": 10}


def test_an_index_that_is_gone_is_built_anew(images: Path, settings: Settings) -> None:
    run(images, settings)
    shard = Path(settings.index.location) / "points"
    shard.rename(shard.with_name("elsewhere"))
    (shard.with_name("elsewhere")).rename(images.parent / "elsewhere")
    summary = run(images, settings)
    assert states(summary.counts) == {"listed": 10, "done": 10}
    assert len(rows(settings)) == 10


def test_no_images_is_told_with_what_was_skipped(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no images under .*empty$"):
        run(tmp_path / "empty", settings)
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"no images under .*empty \(skipped: 1 as not an image"):
        run(tmp_path / "empty", settings)
    assert not Path(settings.index.location).exists()


def test_an_index_in_use_is_told_before_anything_is_done(
    images: Path, settings: Settings, tmp_path: Path
) -> None:
    run(images, settings)
    fakes.write_image(images / "new.png", 90)
    recipe = fakes.recipe(settings, loads=tmp_path / "loads")
    owner = open_index(settings.index, None)
    try:
        with pytest.raises(IndexBusyError):
            run(images, settings, recipe)
    finally:
        owner.close()
    assert not (tmp_path / "loads").exists()


def test_limit_counts_listed_images(images: Path, settings: Settings) -> None:
    limited = settings.model_copy(update={"limit": 3})
    assert states(run(images, limited).counts) == {"listed": 3, "done": 3}
    assert states(run(images, limited).counts) == {"listed": 3, "unchanged": 3}


class InterruptedProgress(Progress):
    """Presses Ctrl-C once some chunks have come."""

    def __init__(self) -> None:
        super().__init__()
        self.advances = 0

    def advance(self) -> None:
        self.advances += 1
        if self.advances == 3:
            raise KeyboardInterrupt


def test_an_interrupt_writes_what_is_finished(images: Path, settings: Settings) -> None:
    progress = InterruptedProgress()
    with pytest.raises(KeyboardInterrupt):
        run(images, settings, progress=progress)
    assert progress.counts.done == 8
    assert len(keys(settings)) == 8
    assert states(run(images, settings).counts) == {"listed": 10, "done": 2, "unchanged": 8}


def test_an_interrupt_waits_for_the_end_of_a_write() -> None:
    reached = []

    def write() -> None:
        with hold_interrupts():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_counts_that_do_not_add_up_are_a_bug() -> None:
    counts = IngestCounts(listed=2, done=1)
    with pytest.raises(AssertionError, match="do not add up"):
        counts.check_complete()


def test_ids_do_not_depend_on_the_run(images: Path, tmp_path: Path) -> None:
    default_batch = fakes.settings(tmp_path / "one")
    small_batch = fakes.settings(tmp_path / "two", batch_size=3)
    run(images, default_batch)
    run(images, small_batch)
    first = {uuid.UUID(point.id) for point in points(default_batch)}
    assert first == {uuid.UUID(point.id) for point in points(small_batch)}
