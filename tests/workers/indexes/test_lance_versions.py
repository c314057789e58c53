"""Which version of a Lance table is read: one a search, a newer one after a while."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.index_cases import DIM, embedded, held, ids_of, options_for, unit
from support.lance_writer import expected_points, image_of, run_of

from schemas.ids import image_id
from schemas.points import IndexQuery
from schemas.records import Float32Matrix
from workers.indexes.lance import table
from workers.indexes.lance.index import LanceIndex
from workers.indexes.lance.old_versions import drop_unread
from workers.indexes.open import open_index

IMAGE, NEXT = embedded("a.jpg", unit(0, 4)), embedded("b.jpg", unit(1, 3))


def opened(folder: Path, refresh_s: float = 0.0) -> LanceIndex:
    options = options_for(f"lance+file://{folder}/index").model_copy(
        update={"refresh_s": refresh_s}
    )
    index = open_index(options, DIM, create=True)
    assert isinstance(index, LanceIndex)
    return index


def liked_of(vector: np.ndarray[Any, np.dtype[np.float32]]) -> Float32Matrix:
    return np.stack([vector, vector])


@pytest.mark.parametrize("kind", ["nearest", "varied", "examples"])
def test_a_search_sees_one_version_though_others_commit_meanwhile(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = opened(tmp_path), opened(tmp_path)
    writer.replace_images([IMAGE])
    query = IndexQuery(unit(3, 1)[0], 10)
    query = {
        "nearest": query,
        "varied": replace(query, diversity=0.5),
        "examples": replace(query, liked=liked_of(query.vector)),
    }[kind]
    find = reader.find_nearest
    commits = []

    def find_nearest(*arguments: Any, **options: Any) -> Any:
        found = find(*arguments, **options)
        writer.delete_images([image_id(IMAGE.ref)])
        writer.replace_images([NEXT])
        commits.append(writer.count())
        return found

    monkeypatch.setattr(reader, "find_nearest", find_nearest)
    assert {hit.object_id for hit in reader.search(query)} == ids_of(IMAGE)
    assert commits
    assert {hit.object_id for hit in reader.search(query)} == ids_of(NEXT)


def test_a_newer_version_is_seen_once_the_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(table, "time", clock)
    reader, writer = opened(tmp_path, refresh_s=5.0), opened(tmp_path)
    assert reader.count() == 0
    writer.replace_images([IMAGE])
    clock.now += 4.9
    assert (reader.count(), writer.count()) == (0, 4)
    clock.now += 0.1
    assert held(reader) == ids_of(IMAGE)
    # What it writes itself it sees at once, and what came before that with it.
    writer.replace_images([NEXT])
    third = embedded("c.jpg", unit(2, 2))
    reader.replace_images([third])
    assert held(reader) == ids_of(IMAGE) | ids_of(NEXT) | ids_of(third)


def test_a_scroll_goes_on_in_the_version_in_which_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.indexes.lance.index._ROWS_AT_ONCE", 2)
    reader, writer = opened(tmp_path), opened(tmp_path)
    images = [embedded(f"{number}.jpg", unit(number, 8)) for number in range(8)]
    for image in images:
        writer.replace_images([image])
    scroll = reader.scroll()
    seen = [next(scroll).id]
    writer.delete_images([image_id(image.ref) for image in images])
    writer.replace_images([NEXT])
    writer.optimize()
    seen += [point.id for point in scroll]
    assert Counter(seen) == Counter(identity for image in images for identity in ids_of(image))
    assert held(reader) == ids_of(NEXT)


def test_versions_younger_than_a_day_are_kept(tmp_path: Path) -> None:
    """However often it is tidied up: whoever reads one goes on reading it."""
    writer = opened(tmp_path)
    writer.replace_images([IMAGE])
    before = writer._table.latest()
    for number in range(3):
        writer.replace_images([embedded("a.jpg", unit(number, 5), version=f"v{number}")])
        writer.optimize()
    ids = before.to_table(columns=["id"])["id"].to_pylist()
    assert Counter(ids) == Counter(ids_of(IMAGE))


def test_the_version_that_was_the_newest_a_day_ago_is_kept_however_old_it_is(
    tmp_path: Path,
) -> None:
    writer = opened(tmp_path)
    images = [embedded("a.jpg", unit(seed, 4), version=f"v{seed}") for seed in range(4)]
    read = []
    for image in images:
        writer.replace_images([image])
        read.append(writer._table.latest())
    first, second, third, _ = (
        {each["version"]: each["timestamp"].astimezone(UTC) for each in read[-1].versions()}[
            dataset.version
        ]
        for dataset in read
    )
    assert first < second < third
    drop_unread(read[-1], third + timedelta(days=1))
    # Without the second, which a third followed a day ago, nobody could begin to read.
    assert [each["version"] for each in read[-1].versions()] == [each.version for each in read[1:]]
    drop_unread(read[-1], third + timedelta(days=1, microseconds=1))
    assert [each["version"] for each in read[-1].versions()] == [each.version for each in read[2:]]
    for dataset, image in zip(read[2:], images[2:], strict=True):
        assert set(dataset.to_table(columns=["id"])["id"].to_pylist()) == ids_of(image)


def test_threads_that_write_at_the_same_time_lose_and_double_nothing(tmp_path: Path) -> None:
    writers, commits = 4, 4
    indexes = [opened(tmp_path) for _ in range(writers)]
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for commit in range(commits):
                indexes[writer].replace_images([image_of(writer, commit)], run_of(writer))
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = Counter(point.id for point in indexes[0].scroll())
    assert found == expected_points(writers, commits)
