"""Which images travel together."""

from __future__ import annotations

import pytest

from pipeline.runners.ray_pool.chunks import Chunk, cut_first_chunk
from schemas.images import ImageRef
from schemas.work import WorkItem

MIB = 1 << 20


def list_items(*sizes_mib: int) -> list[WorkItem]:
    return [
        WorkItem(ImageRef("s3", "photos", f"{number}.jpg", "v1", size * MIB))
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
    items = list_items(*sizes_mib)
    assert cut_first_chunk(items, most_images).items == items[:taken]


def test_halves_have_every_image_once_and_stay_suspects() -> None:
    items = list_items(1, 1, 1, 1, 1)
    first, second = Chunk(items, suspect=True, deaths=1, reads=2).halve()
    assert (first.items, second.items) == (items[:2], items[2:])
    assert [(half.suspect, half.deaths, half.reads) for half in (first, second)] == [
        (True, 0, 0)
    ] * 2
