"""Two runs that write one image at the same time, in every order of their requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.index_cases import DIM, embedded, ids_of, make_opener, unit
from support.interleaving import Step, Writer, in_every_order, interleaved

from schemas.ids import image_id
from schemas.records import EmbeddedImage
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
]

STARTED = [datetime(2026, 1, 31, hour, tzinfo=UTC) for hour in range(3)]
REQUESTS = ("upsert", "delete", "count_points", "count_values")

Write = Callable[[PointIndex, datetime], object]


def replacing(image: EmbeddedImage) -> Write:
    return lambda index, started: index.replace_images([image], started)


def deleting(image: EmbeddedImage) -> Write:
    return lambda index, started: index.delete_images([image_id(image.ref)], started)


BEFORE = embedded("a.jpg", unit(0, 3), version="v0")
NEWER = embedded("a.jpg", unit(1, 4), version="v2")
CASES: dict[str, Write] = {
    "an older version": replacing(embedded("a.jpg", unit(2, 4), version="v1")),
    "the same version, in which it has found more": replacing(
        embedded("a.jpg", unit(3, 6), version="v2")
    ),
    "that it is gone": deleting(NEWER),
}


@pytest.mark.parametrize(
    ("kind", "upsert_batch"),
    [
        ("memory", 9),
        pytest.param("memory", 2, marks=pytest.mark.faults),
        pytest.param("stand-in", 9, marks=pytest.mark.faults),
    ],
    ids=["short", "whole", "whole over HTTP"],
)
@pytest.mark.parametrize("case", CASES)
def test_what_the_later_run_writes_is_all_that_is_left(
    case: str, kind: str, upsert_batch: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opener, removed = make_opener(kind, tmp_path)
    with opener(DIM, True, upsert_batch) as older, opener(DIM, False, upsert_batch) as newer:

        def run(order: Sequence[int]) -> list[Step]:
            newer.delete_images([image_id(NEWER.ref)])
            newer.replace_images([BEFORE], STARTED[0])
            writers = [
                stepping(older, CASES[case], STARTED[1]),
                stepping(newer, replacing(NEWER), STARTED[2]),
            ]
            return interleaved(writers, order)

        orders = wrong = 0
        for _ in in_every_order(run):
            left = {(point.id, point.parse_payload().run_started_at) for point in newer.scroll()}
            wrong += left != {(identity, STARTED[2]) for identity in ids_of(NEWER)}
            orders += 1
    removed()
    with capsys.disabled():
        print(f"\n{orders} orders of two writers, the earlier of {case}: {wrong} end wrong")
    assert orders > 15
    assert wrong == 0


def stepping(index: PointIndex, write: Write, run_started_at: datetime) -> Writer:
    """The writer, each of whose requests is a step."""

    def work(pause: Callable[[], None]) -> None:
        def paused(name: str) -> Callable[..., Any]:
            def request(*arguments: Any) -> Any:
                pause()
                return getattr(type(index), name)(index, *arguments)

            return request

        for name in REQUESTS:
            setattr(index, name, paused(name))
        write(index, run_started_at)
        for name in REQUESTS:
            delattr(index, name)

    return work
