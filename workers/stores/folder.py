"""Lists and reads images in the file system: a folder, a file, or a glob."""

from __future__ import annotations

import errno
import glob
import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    StoreAccessError,
    StoreUnavailableError,
    UsageError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.protocols import Skipped
from workers.stores.file_version import content_version, is_by_content, older_version, stamp_of
from workers.stores.selection import may_be_listed, reason_to_skip

NOT_A_FILE = "not a regular file"
LINKED_FOLDER = "symbolic link to a folder"


def build(source: str, options: StoreOptions) -> FileStore:
    """The store of a path, a `file://` uri or a glob. Nothing is read yet."""
    if source.startswith("file://"):
        source = os.fsdecode(unquote_to_bytes(source.removeprefix("file://")))
    return FileStore(source, options)


def read(ref: ImageRef, options: StoreOptions) -> bytes:
    """The bytes of a file that is still what `ref` says; see `ObjectStore.read`.

    By its content where that is known; by size, time and inode, or in older indexes size and time,
    where it is not; whatever it is where no version is known.
    """
    if not ref.version:  # an import did not know it
        with _raising_store_errors(ref), open(ref.key, "rb") as file:
            return file.read()
    by_content = is_by_content(ref.version)
    with _raising_store_errors(ref), open(ref.key, "rb") as file:
        status = os.fstat(file.fileno())
        now = stamp_of(status)
        expected = ref.size_bytes == status.st_size if by_content else _fits(ref.version, now)
        data = file.read() if expected else b""
        now = stamp_of(os.fstat(file.fileno()))
    if by_content and expected:
        now = content_version(data)
    if not _fits(ref.version, now) or len(data) != ref.size_bytes:
        raise ObjectChangedError(f"expected version {ref.version}, got {now}: {ref.uri}")
    return data


@contextmanager
def open_version(ref: ImageRef) -> Iterator[VersionedFile]:
    """A file that is still what `ref` says, to be read in parts. No version by content is checked.

    Raises ObjectGoneError, ObjectChangedError, StoreAccessError, StoreUnavailableError, as do the
    methods of what it returns.
    """
    with _raising_store_errors(ref):
        file = io.FileIO(ref.key)
    with file:
        opened = VersionedFile(ref, file)
        opened.check()
        yield opened


class VersionedFile:
    """An open file; see `open_version`."""

    def __init__(self, ref: ImageRef, file: io.FileIO) -> None:
        self._ref = ref
        self._file = file

    def check(self) -> int:
        """Its size in bytes. Raises ObjectChangedError if it has changed since it was listed."""
        with _raising_store_errors(self._ref):
            status = os.fstat(self._file.fileno())
        if not is_by_content(self._ref.version) and not _fits(self._ref.version, stamp_of(status)):
            raise ObjectChangedError(
                f"expected version {self._ref.version}, got {stamp_of(status)}: {self._ref.uri}"
            )
        return status.st_size

    def read_range(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start` on, fewer at the end of the file only."""
        parts, missing = [], length
        with _raising_store_errors(self._ref):
            while missing and (part := os.pread(self._file.fileno(), missing, start)):
                parts.append(part)
                start, missing = start + len(part), missing - len(part)
        return b"".join(parts)


def _fits(version: str, now: str) -> bool:
    return version in ("", now, older_version(now))


def find(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
    """What is at the path now; see `stores.find`."""
    with _raising_store_errors(ref):
        try:
            status = os.stat(ref.key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as exc:
            if _is_no_path(exc):
                return None
            raise
    return _ref(ref.key, status) if stat.S_ISREG(status.st_mode) else None


def _is_no_path(error: OSError | ValueError) -> bool:
    """Whether nothing can be at a path: it is too long, leads in circles, or has a NUL in it."""
    return not isinstance(error, OSError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP)


@contextmanager
def _raising_store_errors(ref: ImageRef) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
        raise ObjectGoneError(f"expected a listed file, got none: {ref.uri}") from exc
    except ValueError as exc:  # a NUL in the path
        raise ObjectGoneError(f"expected a listed file, got no path: {ref.uri}") from exc
    except PermissionError as exc:
        raise StoreAccessError(f"expected a readable file, got no permission: {ref.uri}") from exc
    except OSError as exc:
        if _is_no_path(exc):
            raise ObjectGoneError(f"expected a listed file, got no path: {ref.uri}") from exc
        raise StoreUnavailableError(
            f"expected to read a file, got: {exc.strerror} ({ref.uri})"
        ) from exc


class FileStore:
    """Lists one path or glob. Keys are absolute paths, in the order of S3 keys (by byte)."""

    def __init__(self, source: str, options: StoreOptions) -> None:
        self._source = source
        self._options = options

    def list_images(self, skipped: Skipped) -> Iterator[ImageRef]:
        """Streamed, one level of folders in memory at a time; see `ObjectStore.list_images`.

        A glob means what it means to a shell: a folder that it names is walked. Raises UsageError
        at once if there is nothing at the source, StoreAccessError for a folder that may not be
        read.
        """
        path = os.path.abspath(self._source)
        if os.path.exists(path):
            return self._walk([path], skipped)
        if not glob.has_magic(self._source):
            raise UsageError(f"expected a folder, a file or a glob, got nothing at {path!r}")
        matches = _glob(self._source)
        if not matches:
            raise UsageError(f"expected files that match a glob, got none for {path!r}")
        return self._walk(matches, skipped)

    def covers(self, ref: ImageRef) -> bool:
        """See `ObjectStore.covers`. Raises UsageError for a glob: what it matched is not known."""
        path = os.path.abspath(self._source)
        if not os.path.exists(path) and glob.has_magic(self._source):
            raise UsageError(
                f"expected a folder or a file, got the glob {self._source!r}: "
                "it cannot show which images are no longer there"
            )
        below = os.path.join(path, "")
        return (
            ref.store == "file"
            and (ref.key == path or ref.key.startswith(below))
            and may_be_listed(ref.key, self._options)
        )

    def read(self, ref: ImageRef) -> bytes:
        return read(ref, self._options)

    def _walk(self, roots: Iterable[str], skipped: Skipped) -> Iterator[ImageRef]:
        recursive = "**" in self._source
        for root in roots:
            if not os.path.isdir(root):
                yield from self._list_file(root, skipped)
            elif not recursive:  # a glob with ** matches what is in the folder itself
                yield from self._walk_folder(root, skipped)

    def _walk_folder(self, folder: str, skipped: Skipped) -> Iterator[ImageRef]:
        for entry in _entries(folder):
            if not _is_folder(entry):
                yield from self._list_file(entry.path, skipped)
            elif entry.is_symlink():  # it may lead back up
                skipped(LINKED_FOLDER, _ref(entry.path).uri)
            else:
                yield from self._walk_folder(entry.path, skipped)

    def _list_file(self, path: str, skipped: Skipped) -> Iterator[ImageRef]:
        try:
            status = os.stat(path)
        except OSError:  # a dangling link, or gone since the folder was read
            status = None
        if status is None or not stat.S_ISREG(status.st_mode):
            skipped(NOT_A_FILE, _ref(path).uri)
            return
        ref = _ref(path, status)
        reason = reason_to_skip(path, status.st_size, self._options)
        if reason is None:
            yield ref
        else:
            skipped(reason, ref.uri)


def _glob(pattern: str) -> list[str]:
    """Absolute paths that a glob matches, sorted by byte; all in memory, as in a shell."""
    # The working folder is not part of the pattern, whatever characters it has.
    absolute = os.path.normpath(os.path.join(glob.escape(os.getcwd()), pattern))
    return sorted(set(glob.iglob(absolute, recursive=True)), key=os.fsencode)


def _ref(path: str, status: os.stat_result | None = None) -> ImageRef:
    version, size = (stamp_of(status), status.st_size) if status else ("", 0)
    return ImageRef(store="file", bucket="", key=path, version=version, size_bytes=size)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """Entries of a folder in the order of S3 keys, in which a folder's name ends in a slash."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(_as_key(entry)))
    except FileNotFoundError:  # gone since its parent was read
        return []
    except OSError as exc:
        raise StoreAccessError(
            f"expected a readable folder, got: {exc.strerror} ({folder!r})"
        ) from exc


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to a folder that may not be read
        return False


def _as_key(entry: os.DirEntry[str]) -> str:
    return entry.name + "/" if _is_folder(entry) else entry.name
