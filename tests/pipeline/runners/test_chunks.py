"""Which images travel together, and what is said of those that are given up."""

from __future__ import annotations

import pytest

from pipeline.runners.ray_pool.chunks import Chunk, first_chunk, given_up
from schemas.images import ImageRef, Stage

MIB = 1 << 20


def refs(*sizes_mib: int) -> list[ImageRef]:
    return [
        ImageRef("s3", "photos", f"{number}.jpg", "v1", size * MIB)
        for number, size in enumerate(sizes_mib)
    ]


@pytest.mark.parametrize(
    ("sizes_mib", "most_images", "taken"),
    [
        ((1, 1, 1), 8, 3),
        ((1, 1, 1), 2, 2),
        ((100, 100, 56, 1), 8, 3),
        ((100, 100, 57, 1), 8, 2),
        ((1000, 1), 8, 1),
        ((300, 300), 1, 1),
    ],
)
def test_a_chunk_is_cut_where_it_gets_too_large(
    sizes_mib: tuple[int, ...], most_images: int, taken: int
) -> None:
    listed = refs(*sizes_mib)
    assert first_chunk(listed, most_images).refs == listed[:taken]


def test_halves_have_every_image_once_and_stay_suspects() -> None:
    listed = refs(1, 1, 1, 1, 1)
    first, second = Chunk(listed, suspect=True, deaths=1, reads=2).halves()
    assert (first.refs, second.refs) == (listed[:2], listed[2:])
    assert [(half.suspect, half.deaths, half.reads) for half in (first, second)] == [
        (True, 0, 0)
    ] * 2


def test_an_image_that_takes_too_much_memory_is_rejected_another_may_be_tried_again() -> None:
    (ref,) = refs(1)
    large = given_up(ref, Stage.READ, MemoryError(), 2048)
    assert (large.rejected, large.retryable, large.error_class) == (True, False, "BadImageError")
    assert large.message == (
        "expected an image to take at most 2048 MiB, got one that takes more (s3://photos/0.jpg)"
    )
    hung = given_up(ref, Stage.SEGMENT, TimeoutError("ended after 60 s"), 2048)
    assert (hung.rejected, hung.retryable, hung.error_class) == (False, True, "WorkerDiedError")
    assert hung.message == (
        "the worker process died twice of s3://photos/0.jpg alone (TimeoutError: ended after 60 s)"
    )
