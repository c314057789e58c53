"""Two writers of a Lance table, in every order of what they read and commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.index_cases import DIM, embedded, held, ids_of, make_opener, unit
from support.interleaving import Step, Writer, in_every_order, interleaved

from schemas.ids import image_id
from schemas.records import EmbeddedImage
from workers.indexes.lance import upkeep
from workers.indexes.lance.engine import ChangedMeanwhileError
from workers.indexes.lance.index import LanceIndex
from workers.indexes.lance.table import LanceTable

BEFORE, EARLIER, LATER = (datetime(2026, 1, 31, hour, tzinfo=UTC) for hour in range(3))
STEPS = ("latest", "_commit")
OLD = embedded("a.jpg", unit(0, 3), version="v0")
NEWER = embedded("a.jpg", unit(1, 4), version="v2")
OTHER, THIRD = embedded("b.jpg", unit(4, 2)), embedded("c.jpg", unit(5, 2))
CASES = {
    "an older version": embedded("a.jpg", unit(2, 4), version="v1"),
    "the same version, in which it has found more": embedded("a.jpg", unit(3, 6), version="v2"),
}
Write = Callable[[LanceIndex], object]


@pytest.fixture(name="indexes")
def two_indexes(tmp_path: Path) -> list[LanceIndex]:
    """The same index twice, as two processes have it open."""
    opener, _ = make_opener("lance", tmp_path)
    found = [opener(DIM, True), opener(DIM, False)]
    assert all(isinstance(index, LanceIndex) for index in found)
    return found  # type: ignore[return-value]


def stepping(index: LanceIndex, write: Write) -> Writer:
    """The writer, of which each look at the newest version and each commit is a step."""

    def work(pause: Callable[[], None]) -> None:
        table = index._table

        def paused(name: str) -> Callable[..., Any]:
            def step(*arguments: Any) -> Any:
                pause()
                return getattr(LanceTable, name)(table, *arguments)

            return step

        for name in STEPS:
            setattr(table, name, paused(name))
        try:
            write(index)
        finally:
            for name in STEPS:
                delattr(table, name)

    return work


def replacing(
    images: Sequence[EmbeddedImage], started: datetime, superseded: list[object] | None = None
) -> Write:
    def write(index: LanceIndex) -> None:
        found = index.replace_images(images, started)
        if superseded is not None:
            superseded[:] = [found]

    return write


def points(index: LanceIndex) -> Counter[tuple[str, datetime | None]]:
    index.flush()
    return Counter((point.id, point.parse_payload().run_started_at) for point in index.scroll())


def written(images: Sequence[EmbeddedImage], started: datetime) -> Counter[tuple[str, datetime]]:
    return Counter((identity, started) for image in images for identity in ids_of(image))


@pytest.mark.parametrize("with_older_points", [True, False], ids=["replaced", "new"])
@pytest.mark.parametrize("case", CASES)
def test_the_points_of_the_later_run_are_all_that_is_left(
    case: str, with_older_points: bool, indexes: list[LanceIndex]
) -> None:
    older, newer = indexes
    found: list[object] = []
    answers = Counter[bool]()

    def run(order: Sequence[int]) -> list[Step]:
        newer.delete_images([image_id(image.ref) for image in (NEWER, OTHER, THIRD)])
        if with_older_points:
            newer.replace_images([OLD], BEFORE)
        # A fragment of two images: what one of them loses leaves the other there.
        mine = replacing([CASES[case], OTHER], EARLIER, found)

        def theirs(index: LanceIndex) -> None:
            for image in (THIRD, NEWER):
                index.replace_images([image], LATER)

        return interleaved([stepping(older, mine), stepping(newer, theirs)], order)

    orders = 0
    for _ in in_every_order(run):
        assert points(newer) == written([NEWER, THIRD], LATER) + written([OTHER], EARLIER)
        (superseded,) = found
        assert superseded in (set(), {image_id(NEWER.ref)})
        answers[bool(superseded)] += 1
        orders += 1
    assert orders > 10
    # Whoever was first is not superseded when it returns; both are met with.
    assert min(answers[True], answers[False]) > 0


def test_of_one_run_the_write_that_began_last_is_what_is_left(indexes: list[LanceIndex]) -> None:
    first, second = indexes
    one, other = (embedded("a.jpg", unit(seed, 4), version=f"v{seed}") for seed in (1, 2))

    def run(order: Sequence[int]) -> list[Step]:
        first.delete_images([image_id(one.ref)])
        return interleaved(
            [
                stepping(index, replacing([image], LATER))
                for index, image in zip(indexes, (one, other), strict=True)
            ],
            order,
        )

    for _ in in_every_order(run):
        assert points(second) in (written([one], LATER), written([other], LATER))


def test_objects_that_are_added_meanwhile_stay(indexes: list[LanceIndex]) -> None:
    """As later runs' points do; the next ingest does the image, with the object."""
    ingest, service = indexes
    with_object = embedded("a.jpg", unit(5, 5), version="v2")
    added = EmbeddedImage(
        **{
            **{name: getattr(NEWER, name) for name in NEWER.__dataclass_fields__},
            "added": with_object.objects[-1:],
        }
    )
    own = {str(added.added[0].object_id)}
    superseded: list[object] = []

    def run(order: Sequence[int]) -> list[Step]:
        service.delete_images([image_id(NEWER.ref)])
        service.replace_images([OLD], BEFORE)
        return interleaved(
            [
                stepping(ingest, replacing([NEWER], EARLIER, superseded)),
                stepping(service, lambda index: index.add_objects(added, LATER)),
            ],
            order,
        )

    for _ in in_every_order(run):
        service.flush()
        ids = [point.id for point in service.scroll()]
        assert len(set(ids)) == len(ids)
        if superseded == [set()]:
            assert set(ids) == own | ids_of(NEWER)
        else:
            assert own <= set(ids) <= own | ids_of(OLD)


@pytest.mark.parametrize(
    "text",
    [
        "Commit conflict for version 7: there was a concurrent commit",
        "Too many concurrent writers. Attempted 8 times, but failed on retry_timeout of 30.000 s",
    ],
)
def test_an_upkeep_that_others_overtook_is_done_again(
    text: str, indexes: list[LanceIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    tidy = upkeep._tidy

    def overtaken(*arguments: Any) -> Any:
        calls.append(text)
        if len(calls) < 3:
            raise RuntimeError(text)
        return tidy(*arguments)

    monkeypatch.setattr(upkeep, "_tidy", overtaken)
    indexes[0].replace_images([NEWER], LATER)
    indexes[0].optimize()
    assert len(calls) == 3
    assert points(indexes[0]) == written([NEWER], LATER)


def test_a_commit_that_went_through_and_seemed_to_fail_leaves_nothing_of_superseded_images(
    indexes: list[LanceIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = indexes
    commit = LanceTable._commit
    calls: list[object] = []

    def failing(table: LanceTable, *arguments: Any) -> Any:
        after = commit(table, *arguments)
        if not calls:
            calls.append(after)
            newer.upsert(list(points_of_later))
            raise ChangedMeanwhileError("somebody has committed this version: itself")
        return after

    newer.replace_images([NEWER], LATER)
    points_of_later = list(newer.scan())
    newer.delete_images([image_id(NEWER.ref)])
    monkeypatch.setattr(older._table, "_commit", failing.__get__(older._table))
    assert older.replace_images([CASES["an older version"]], EARLIER) == {image_id(NEWER.ref)}
    assert points(newer) == written([NEWER], LATER)


@pytest.mark.parametrize("started", [EARLIER, LATER], ids=["an earlier run", "a later run"])
def test_a_writer_that_dies_before_its_second_look_is_mended_by_the_next_write(
    started: datetime, indexes: list[LanceIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, other = indexes
    latest = LanceTable.latest
    looks: list[object] = []

    def dying_after_its_commit(table: LanceTable) -> Any:
        looks.append(table)
        if len(looks) == 2:
            raise KeyboardInterrupt
        before = latest(table)
        other.replace_images([NEWER], EARLIER)
        return before

    monkeypatch.setattr(dying._table, "latest", dying_after_its_commit.__get__(dying._table))
    mine = CASES["the same version, in which it has found more"]
    with pytest.raises(KeyboardInterrupt):
        dying.replace_images([mine], started)
    assert points(other) == written([NEWER], EARLIER) + written([mine], started)
    monkeypatch.undo()
    again = embedded("a.jpg", unit(9, 3), version="v2")
    assert other.replace_images([again], LATER + timedelta(hours=1)) == set()
    assert points(other) == written([again], LATER + timedelta(hours=1))
    assert held(other) == ids_of(again)
