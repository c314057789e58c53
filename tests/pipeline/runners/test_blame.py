"""Who is to blame when a process dies, and what is recorded of images that are given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.runners.ray_pool import blame
from pipeline.runners.ray_pool.blame import Blame, build_failure
from pipeline.runners.ray_pool.chunks import Chunk
from schemas.errors import WorkerDiedError
from schemas.images import ImageRef, Stage
from schemas.work import WorkItem

DIED = RuntimeError("it died")


def build_chunk(images: int) -> Chunk:
    return Chunk([WorkItem(ImageRef("s3", "photos", f"{n}.jpg", "v1", 100)) for n in range(images)])


def test_a_chunk_is_halved_until_one_image_has_killed_twice_alone() -> None:
    judge = Blame(2048, Path("run.log"))
    chunk = build_chunk(2)
    judge.suspect(chunk)
    assert (chunk.suspect, judge.suspects) == (True, 1)
    (innocent, guilty), failure = judge.judge(chunk, Stage.SEGMENT, DIED)
    assert (failure, judge.suspects) == (None, 2)
    judge.clear(innocent)
    assert judge.judge(guilty, Stage.SEGMENT, DIED) == ([guilty], None)
    assert judge.suspects == 1
    again, failure = judge.judge(guilty, Stage.SEGMENT, DIED)
    assert (again, judge.suspects) == ([], 0)
    assert failure is not None
    assert (failure.ref.key, failure.stage) == ("1.jpg", Stage.SEGMENT)


def test_it_is_not_the_images_if_none_between_comes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blame, "_MOST_GIVEN_UP", 2)
    judge = Blame(2048, Path("run.log"))

    def give_up(stage: Stage) -> None:
        chunk = build_chunk(1)
        judge.judge(chunk, stage, DIED)
        judge.judge(chunk, stage, DIED)

    give_up(Stage.SEGMENT)
    judge.clear(build_chunk(1))
    give_up(Stage.SEGMENT)
    give_up(Stage.READ)  # says nothing about the models
    with pytest.raises(WorkerDiedError, match=r"2 images in a row .* see run\.log"):
        give_up(Stage.SEGMENT)


def test_an_image_that_takes_too_much_memory_is_rejected_another_may_be_tried_again() -> None:
    ref = build_chunk(1).items[0].ref
    large = build_failure(ref, Stage.READ, MemoryError(), 2048)
    assert (large.rejected, large.retryable, large.error_class) == (True, False, "BadImageError")
    assert large.message == (
        "expected an image to take at most 2048 MiB, got one that takes more (s3://photos/0.jpg)"
    )
    hung = build_failure(ref, Stage.SEGMENT, TimeoutError("ended after 60 s"), 2048)
    assert (hung.rejected, hung.retryable, hung.error_class) == (False, True, "WorkerDiedError")
    assert hung.message == (
        "the worker process died twice of s3://photos/0.jpg alone (TimeoutError: ended after 60 s)"
    )
