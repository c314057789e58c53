"""Copies an open shard for other processes, which must not open it themselves.

A process that wants a copy makes a folder beside the shard, locks it, and puts a request file into
it; the process that has the shard open puts the copy there when it is next between two writes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from schemas.errors import IndexBusyError, IndexUnavailableError
from workers.indexes.edge.folder_lock import FolderLock

COPIES = ".copy-"
"""Prefix of the names of such folders."""
SHARD = "points"
_WANTED, _FAILED, _INDEX = "wanted", "failed", "index"
_POLL_S = 0.1


@contextmanager
def copy_by_owner(folder: Path, patience_s: float, waiting: Callable[[], None]) -> Iterator[Path]:
    """Yield an index folder with a copy of what the owner of `folder` has; remove it at the end.

    `waiting` is called several times a second. Raises IndexBusyError if the owner makes none for
    `patience_s`, IndexUnavailableError if it cannot.
    """
    place = Path(tempfile.mkdtemp(prefix=COPIES, dir=folder))
    lock = FolderLock(place)
    try:
        (place / _WANTED).touch()
        deadline = time.monotonic() + patience_s
        while not (place / _INDEX).exists():
            if (place / _FAILED).exists():
                raise IndexUnavailableError((place / _FAILED).read_text(encoding="utf-8"))
            if time.monotonic() > deadline:
                raise IndexBusyError(
                    f"the index in {folder} is in use, and whoever has it open gave no copy of it "
                    f"within {patience_s:g} s"
                )
            waiting()
            time.sleep(_POLL_S)
        yield place / _INDEX
    finally:
        shutil.rmtree(place, ignore_errors=True)
        lock.release()


def give_copies(folder: Path, settle: Callable[[], None]) -> None:
    """Copy the shard in `folder`, which this process has open, to all who have requested it.

    `settle` makes the shard's files whole; nothing may be written until this returns. Folders that
    other processes have left behind are removed.
    """
    with os.scandir(folder) as entries:
        places = [Path(entry.path) for entry in entries if entry.name.startswith(COPIES)]
    for place in places:
        with suppress(FileNotFoundError):
            if _is_abandoned(place):
                shutil.rmtree(place, ignore_errors=True)
            elif (place / _WANTED).exists():
                settle()
                _give(folder / SHARD, place)


def _is_abandoned(place: Path) -> bool:
    try:
        FolderLock(place).release()
    except BlockingIOError:
        return False
    return True


def _give(shard: Path, place: Path) -> None:
    unfinished = place / "unfinished"
    try:
        copy_tree(shard, unfinished / SHARD)
        unfinished.rename(place / _INDEX)
    except OSError as exc:
        shutil.rmtree(unfinished, ignore_errors=True)
        reason = exc.strerror or str(exc)
        (place / _FAILED).write_text(f"a copy of {shard} cannot be made: {reason}", "utf-8")
    finally:
        (place / _WANTED).unlink(missing_ok=True)


def is_writable(shard: Path) -> bool:
    """Whether this process may write to every file of a shard, which opening it does."""
    found = os.walk(shard)
    return all(
        os.access(os.path.join(parent, name), os.W_OK)
        for parent, _, names in found
        for name in (".", *names)
    )


def copy_aside(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder with a copy of the shard in `folder`. Raises OSError."""
    copy = tempfile.TemporaryDirectory(prefix="objseek-copy-")
    try:
        copy_tree(folder / SHARD, Path(copy.name) / SHARD)
    except BaseException:
        copy.cleanup()
        raise
    return copy


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder; holes in files stay holes. Raises OSError."""
    target.mkdir(parents=True)
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            copy_tree(entry, target / entry.name)
        else:
            _copy_file(entry, target / entry.name)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        size = os.fstat(read.fileno()).st_size
        written.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(read.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return
            end = os.lseek(read.fileno(), at, os.SEEK_HOLE)
            os.lseek(written.fileno(), at, os.SEEK_SET)
            while at < end:
                sent = os.sendfile(written.fileno(), read.fileno(), at, end - at)
                if sent == 0:
                    return
                at += sent
