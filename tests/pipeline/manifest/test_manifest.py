"""The manifest: what is written is read, the last attempt counts, and no crash loses a row."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.manifest import manifest as module
from pipeline.manifest import part_reading
from pipeline.manifest.manifest import Manifest
from schemas.errors import IndexUnavailableError, ManifestError
from schemas.ids import ImageRevision, image_id
from schemas.images import Failure, ImageRef, Stage
from schemas.manifest import MANIFEST_SCHEMA, ManifestRow, State

START = datetime(2026, 1, 1, tzinfo=UTC)


def ref(key: str, version: str = "v1") -> ImageRef:
    return ImageRef("s3", "photos", key, version, 10)


def row(
    key: str,
    state: State = State.DONE,
    *,
    version: str = "v1",
    pipeline: str = "f1",
    minute: int = 0,
    message: str = "why",
) -> ManifestRow:
    image, revision = ref(key, version), ImageRevision(version, pipeline)
    at = START + timedelta(minutes=minute)
    if state is State.DONE:
        return ManifestRow.done(image, revision, 3, at)
    failure = Failure(
        image,
        Stage.READ,
        "SomeError",
        message,
        retryable=state is State.FAILED,
        rejected=state is State.REJECTED,
        gone=state is State.GONE,
    )
    return ManifestRow.failure(failure, revision, at)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def latest(folder: Path) -> set[ManifestRow]:
    return set(Manifest(folder).latest())


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [row("a"), *(row(str(state), state) for state in State)]
    manifest = Manifest(tmp_path / "new" / "manifest")
    manifest.append(rows)
    assert list(manifest.latest()) == []
    manifest.flush()
    manifest.flush()
    assert list(manifest.latest()) == rows
    assert all(manifest_row.at.utcoffset() == timedelta(0) for manifest_row in manifest.latest())
    assert len(parts(tmp_path / "new" / "manifest")) == 1


def test_an_empty_manifest_makes_nothing(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest")
    manifest.append([])
    manifest.flush()
    manifest.compact()
    assert list(manifest.latest()) == []
    assert len(manifest.finished_images("f1")) == 0
    assert manifest.counts() == dict.fromkeys(State, 0)
    assert not (tmp_path / "manifest").exists()


def test_many_rows_are_written_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUFFERED_ROWS", 10)
    monkeypatch.setattr(part_reading, "_BATCH_ROWS", 3)
    manifest = Manifest(tmp_path)
    for number in range(25):
        manifest.append([row(f"{number}.jpg")])
    assert len(parts(tmp_path)) == 2
    manifest.flush()
    assert manifest.counts()[State.DONE] == 25
    assert len(manifest.finished_images("f1")) == 25
    manifest.compact()
    assert len(parts(tmp_path)) == 1
    assert latest(tmp_path) == {row(f"{number}.jpg") for number in range(25)}


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([row("late", minute=9), row("twice", State.FAILED), row("twice")])
    manifest.flush()
    manifest.append([row("late", State.GONE, minute=8), row("same", State.FAILED)])
    manifest.flush()
    manifest.append([row("same")])
    manifest.flush()
    expected = {row("late", minute=9), row("twice"), row("same")}
    assert set(manifest.latest()) == expected
    manifest.compact()
    assert set(manifest.latest()) == expected
    assert len(parts(tmp_path)) == 1


def test_failed_attempts_are_known_as_long_as_they_are_the_last(tmp_path: Path) -> None:
    def failed(key: str, attempts: int, minute: int = 0) -> ManifestRow:
        return replace(row(key, State.FAILED, minute=minute), attempts=attempts)

    manifest = Manifest(tmp_path)
    manifest.append([failed("a", 1), failed("b", 1), row("c"), row("d", State.REJECTED)])
    manifest.flush()
    manifest.append([failed("a", 2, minute=1), row("b", minute=1)])
    manifest.flush()
    assert manifest.attempts() == {(str(image_id(ref("a"))), "v1"): 2}


def test_parts_from_before_there_were_checksums_are_read(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([row("a"), row("b", State.FAILED)])
    manifest.flush()
    (part,) = tmp_path.iterdir()
    older = pq.read_table(part).drop_columns(["retryable", "attempts", "checksum"])
    pq.write_table(older, part)
    found = {manifest_row.uri: manifest_row for manifest_row in manifest.latest()}
    assert found[ref("a").uri] == row("a")
    assert found[ref("b").uri] == replace(row("b", State.FAILED), retryable=False)
    manifest.append([row("c")])
    manifest.compact()
    assert len(list(manifest.latest())) == 3
    pq.write_table(older.drop_columns(["uri"]), tmp_path / "part-9.parquet")
    with pytest.raises(ManifestError, match="part-9"):
        list(manifest.latest())


def test_finished_are_the_done_and_the_rejected_of_this_pipeline(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([row(str(state), state) for state in State])
    manifest.append([row("older", version="v0"), row("older", version="v1", minute=1)])
    manifest.append([row("other", pipeline="f2")])
    manifest.append([row("again"), row("again", pipeline="f2", minute=1)])
    manifest.append([row("broken"), row("broken", State.FAILED, pipeline="f2", minute=1)])
    manifest.flush()
    keys = [*map(str, State), "older", "other", "again", "broken"]
    pairs = {(key, version) for key in keys for version in ("v0", "v1")}

    def finished(pipeline: str) -> set[tuple[str, str]]:
        known = manifest.finished_images(pipeline)
        order = sorted(pairs)
        found = set(compress(order, known.has([ref(*pair) for pair in order])))
        assert len(found) == len(known)
        return found

    assert finished("f1") == {("done", "v1"), ("rejected", "v1"), ("older", "v1")}
    assert finished("f2") == {("other", "v1"), ("again", "v1")}
    assert finished("f3") == set()


def test_counts_and_failures(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    bad = [row("x", State.REJECTED), row("y", State.FAILED), row("z", State.GONE)]
    manifest.append([row("a"), row("b"), row("was", State.FAILED), row("was", minute=1), *bad])
    manifest.flush()
    assert manifest.counts() == {
        State.DONE: 3,
        State.REJECTED: 1,
        State.FAILED: 1,
        State.GONE: 1,
    }
    assert list(manifest.failures()) == bad


def test_a_name_that_is_not_utf8_in_a_message_is_stored(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([row("a", State.FAILED, message="cannot read /data/\udcff.jpg")])
    manifest.flush()
    assert [manifest_row.message for manifest_row in manifest.latest()] == [
        "cannot read /data/\ufffd.jpg"
    ]


rows = st.builds(
    row,
    st.sampled_from("abcd"),
    st.sampled_from(State),
    version=st.sampled_from(["v1", "v2"]),
    pipeline=st.sampled_from(["f1", "f2"]),
    minute=st.integers(0, 3),
)


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.one_of(st.lists(rows, min_size=1, max_size=5), st.just("compact")), max_size=8
    )
)
def test_any_order_of_writing_and_compacting(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest = Manifest(folder)
    expected: dict[str, ManifestRow] = {}
    for step in steps:
        if step == "compact":
            manifest.compact()
            continue
        manifest.append(step)
        manifest.flush()
        for manifest_row in step:
            known = expected.get(manifest_row.image_id)
            if known is None or known.at <= manifest_row.at:
                expected[manifest_row.image_id] = manifest_row
    assert sorted(map(repr, Manifest(folder).latest())) == sorted(map(repr, expected.values()))
    assert sum(manifest.counts().values()) == len(expected)


def filled(folder: Path) -> tuple[Manifest, set[ManifestRow]]:
    manifest = Manifest(folder)
    for minute in range(3):
        manifest.append([row("a", minute=minute), row(f"b{minute}", State.FAILED)])
        manifest.flush()
    return manifest, set(manifest.latest())


class CrashError(Exception):
    """Stands for the end of the process."""


def crash(*_: object, **__: object) -> None:
    raise CrashError


@pytest.mark.parametrize("step", ["os.replace", "pathlib.Path.unlink"])
def test_a_crash_while_compacting_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    manifest, expected = filled(tmp_path)
    assert len(expected) == 4
    with monkeypatch.context() as patch:
        patch.setattr(step, crash)
        with pytest.raises(CrashError):
            manifest.compact()
    assert latest(tmp_path) == expected
    Manifest(tmp_path).compact()
    assert latest(tmp_path) == expected
    assert len(list(tmp_path.glob("part-*.parquet"))) == 1


def test_a_crash_between_the_deletions_loses_nothing(tmp_path: Path) -> None:
    manifest, expected = filled(tmp_path)
    old = {name: (tmp_path / name).read_bytes() for name in parts(tmp_path)}
    manifest.compact()
    compacted = parts(tmp_path)
    for name in sorted(old, reverse=True):
        (tmp_path / name).write_bytes(old[name])
        assert latest(tmp_path) == expected
    assert len(parts(tmp_path)) == len(old) + len(compacted)


def test_what_was_not_finished_writing_is_ignored(tmp_path: Path) -> None:
    manifest, expected = filled(tmp_path)
    (tmp_path / ".part-00000000000000000009-abcdef01.parquet.tmp").write_bytes(b"PAR1")
    assert set(manifest.latest()) == expected
    manifest.compact()
    assert latest(tmp_path) == expected


def test_a_failed_write_keeps_its_rows_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([row("a")])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(IndexUnavailableError) as caught:
            manifest.flush()
    assert str(caught.value) == (
        f"the manifest in {tmp_path} cannot be used: No space left on device"
    )
    assert parts(tmp_path) == []
    manifest.flush()
    assert latest(tmp_path) == {row("a")}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    manifest = Manifest(tmp_path / "file" / "manifest")
    manifest.append([row("a")])
    with pytest.raises(IndexUnavailableError, match="cannot be used: Not a directory"):
        manifest.flush()


def other_schema(path: Path) -> None:
    pq.write_table(pa.table({"image_id": ["a"], "at": ["yesterday"]}), path)


def missing_column(path: Path) -> None:
    pq.write_table(pa.table({"image_id": pa.array(["a"])}), path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "damage",
    [cut, other_schema, missing_column, lambda path: path.write_bytes(b"")],
    ids=["cut", "other schema", "missing column", "empty"],
)
def test_a_damaged_part_is_named(tmp_path: Path, damage: Any) -> None:
    manifest, _ = filled(tmp_path)
    before = parts(tmp_path)
    part = tmp_path / before[1]
    damage(part)
    for read in (lambda: list(manifest.latest()), manifest.counts, manifest.compact):
        with pytest.raises(ManifestError) as caught:
            read()
        assert str(caught.value).startswith(f"the manifest part {part} cannot be read: ")
        assert "\n" not in str(caught.value)
    assert parts(tmp_path) == before


def test_reading_goes_on_while_another_process_compacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = filled(tmp_path)
    real = part_reading._batches
    pending = [lambda: Manifest(tmp_path).compact()]

    def interrupted(part: Any, columns: list[str] | None) -> Iterator[pa.Table]:
        if pending:
            pending.pop()()
        yield from real(part, columns)

    monkeypatch.setattr(part_reading, "_batches", interrupted)
    assert Manifest(tmp_path).counts() == {
        **dict.fromkeys(State, 0),
        State.DONE: 1,
        State.FAILED: 3,
    }
    assert not pending
    assert latest(tmp_path) == expected


def test_rows_stream_to_the_end_though_their_parts_go(tmp_path: Path) -> None:
    _, expected = filled(tmp_path)
    stream = Manifest(tmp_path).latest()
    first = next(stream)
    Manifest(tmp_path).compact()
    assert len(parts(tmp_path)) == 1
    assert {first, *stream} == expected


def test_large_parts_are_not_written_again_for_every_small_one(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([row(f"{number:05}") for number in range(4000)])
    manifest.flush()
    (large,) = parts(tmp_path)
    for number in range(3):
        manifest.append([row(f"{number:05}", minute=1)])
        manifest.flush()
    manifest.compact()
    assert len(parts(tmp_path)) == 2
    assert parts(tmp_path)[0] == large
    manifest.append([row(f"{number:05}", minute=2) for number in range(3000)])
    manifest.compact()
    assert len(parts(tmp_path)) == 1
    minutes = Counter((manifest_row.at - START).seconds // 60 for manifest_row in manifest.latest())
    assert minutes == {0: 1000, 2: 3000}


def test_parts_have_the_schema(tmp_path: Path) -> None:
    manifest, _ = filled(tmp_path)
    manifest.compact()
    for name in parts(tmp_path):
        assert pq.read_schema(tmp_path / name) == MANIFEST_SCHEMA
