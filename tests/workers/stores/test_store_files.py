"""Folders, files and globs as stores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.listed import listed

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    StoreAccessError,
    UsageError,
)
from schemas.options import StoreOptions
from workers.stores import open as stores
from workers.stores.file_version import identify
from workers.stores.open import build_store


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def file_keys(source: str) -> list[str]:
    refs, _ = listed(build_store(source, StoreOptions()))
    return [ref.key for ref in refs]


def test_a_file_a_glob_and_a_uri_are_sources(tmp_path: Path) -> None:
    folder = tmp_path / "[x] %20 ü"
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/c/4.png", "*.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"abc")
    paths = [str(folder / name) for name in ("*.jpg", "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/c/4.png")]
    star, first, second, third, fourth = paths
    assert file_keys(str(folder)) == paths
    assert file_keys(str(folder / "a/1.jpg")) == [first]
    assert file_keys((folder / "a").as_uri()) == [first, second]
    with inside(folder):
        assert file_keys(".") == paths
        assert file_keys("b/../a") == [first, second]
        assert file_keys("*.jpg") == [star]  # a file of that name
        assert file_keys("?/*.jpg") == [first, second, third]
        assert file_keys("[b]") == [third, fourth]  # a folder is walked
        assert file_keys("**/*.jpg") == [star, first, second, third]
        assert file_keys("**") == paths
    (ref,), _ = listed(build_store(first, StoreOptions()))
    assert file_keys(ref.uri) == [first]


def test_names_that_are_not_text_are_listed_and_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9\n.jpg"
    with open(path, "wb") as file:
        file.write(b"abc")
    (ref,), _ = listed(build_store(str(tmp_path), StoreOptions()))
    assert os.fsencode(ref.key) == path
    assert ref.uri.endswith("/caf%E9%0A.jpg")
    assert stores.read(ref, StoreOptions()) == b"abc"


def test_links_pipes_and_loops(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.jpg").write_bytes(b"abc")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "itself.jpg").symlink_to(tmp_path / "itself.jpg")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a/1.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    refs, skipped = listed(build_store(str(tmp_path), StoreOptions()))
    assert [ref.key for ref in refs] == [str(tmp_path / "a/1.jpg"), str(tmp_path / "linked.jpg")]
    assert [(reason, uri.rpartition("/")[2]) for reason, uri in skipped] == [
        ("symbolic link to a folder", "up"),
        ("not a regular file", "dangling.jpg"),
        ("not a regular file", "itself.jpg"),
        ("not a regular file", "pipe.jpg"),
    ]
    (tmp_path / "door").symlink_to(tmp_path / "a")
    assert file_keys(str(tmp_path / "door")) == [str(tmp_path / "door/1.jpg")]


@pytest.mark.parametrize("name", ["nothing", "*.jpg", "no\0name", "a/b/c"])
def test_nothing_at_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected .*, got no(ne|thing)") as caught:
        build_store(str(tmp_path / name), StoreOptions()).list_images(lambda reason, uri: None)
    assert str(tmp_path) in str(caught.value)


def test_closed_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    (ref,), _ = listed(build_store(str(tmp_path), StoreOptions()))
    (tmp_path / "a.jpg").chmod(0)
    if os.access(tmp_path / "a.jpg", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(StoreAccessError, match=r"/a\.jpg"):
        stores.read(ref, StoreOptions())
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(StoreAccessError, match="closed"):
        listed(build_store(str(tmp_path), StoreOptions()))


def test_a_listed_file_is_read_in_the_state_that_was_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    (ref,), _ = listed(build_store(str(path), StoreOptions()))
    status = path.stat()
    assert ref.version == f"3-{status.st_mtime_ns}@{status.st_ino}"
    assert stores.read(ref, StoreOptions()) == b"abc"
    older = replace(ref, version=f"3-{status.st_mtime_ns}")
    assert stores.read(older, StoreOptions()) == b"abc"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    for listed_then in (ref, older):
        with pytest.raises(ObjectChangedError, match=listed_then.version):
            stores.read(listed_then, StoreOptions())
    path.unlink()
    path.mkdir()
    with pytest.raises(ObjectGoneError):
        stores.read(ref, StoreOptions())


def test_a_file_that_was_read_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    (listed_ref,), _ = listed(build_store(str(path), StoreOptions()))
    ref = identify(listed_ref, b"abc")
    assert ref.version == "3-blake2b:cf4ab791c62b8d2b2109c90275287816"
    assert (ref.stamp, ref.size_bytes) == (listed_ref.version, 3)
    assert identify(ref, b"abd") == ref
    os.utime(path, ns=(0, 0))
    assert stores.read(ref, StoreOptions()) == b"abc"
    for other in (b"abd", b"abcd", b""):
        path.write_bytes(other)
        with pytest.raises(ObjectChangedError, match="expected version 3-blake2b:cf4a"):
            stores.read(ref, StoreOptions())
