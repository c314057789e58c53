"""Files are replaced whole or not at all, and read by nobody who may not read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import UsageError
from workers.durable_files import check_output_file, replace_file


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What most systems have: files are readable by all, writable by their owner."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [False, True])
def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replace_file(path, durable=durable) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_content_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with replace_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replace_file(path) as first:
        first.write(b"first")
        with replace_file(path) as second:
            second.write(b"second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_readable_by_its_owner_alone_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replace_file(path, private=True) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert mode(path) == 0o600
    with replace_file(path):
        pass
    assert mode(path) == 0o644


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file), path.exists())))
    with replace_file(path, durable=True) as file:
        file.write(b"new")
    (content, before), (folder, after) = synced
    assert (content.st_ino, content.st_size, before) == (path.stat().st_ino, 3, False)
    assert (folder.st_ino, after) == (tmp_path.stat().st_ino, True)


@pytest.mark.parametrize("parent", ["file", "none"])
def test_a_file_below_no_folder_is_refused_before_the_work(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"the table cannot be written to .*: no folder to write"):
        check_output_file(tmp_path / parent / "table.csv", "the table")


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the table cannot be written to .*: File name too long"):
        check_output_file(tmp_path / ("x" * 300), "the table")
