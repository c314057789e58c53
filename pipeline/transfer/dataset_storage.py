"""Stores datasets and backups in a folder, or below a prefix of a bucket."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.progress import Progress
from schemas.errors import DatasetError, IndexUnavailableError, ObjectGoneError, UsageError
from schemas.options import StoreOptions
from workers.durable_files import sync
from workers.stores.s3_prefix import S3Prefix

CATALOGUE = "objseek.json"
"""Written last: without it a dataset is not complete."""
_UNFINISHED = ".unfinished-"


@contextmanager
def new_dataset(
    target: str,
    options: StoreOptions,
    progress: Progress,
    *,
    replacing: bool = False,
    mark: str = CATALOGUE,
) -> Iterator[Path]:
    """A folder to be filled, which becomes `target`, a folder or `s3://bucket/prefix`, at the end.

    A folder appears whole; to a bucket the files are uploaded one by one, the catalogue last.
    `replacing`: in place of a dataset that is there, which has the file `mark`, and of nothing
    else. Raises UsageError where there is something already, IndexUnavailableError for a folder
    that cannot be written, and what a bucket raises.
    """
    if target.startswith("s3://"):
        objects = S3Prefix(target, options)
        with _staged_upload(objects, target, progress, replacing=replacing) as folder:
            yield folder
        return
    _check_scheme(target)
    folder = Path(target).expanduser()
    with _raising_write_errors(folder):
        _check_folder(folder, mark, replacing=replacing)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder.parent))
        try:
            yield unfinished
            for path in unfinished.rglob("*"):
                if not path.is_symlink():
                    sync(path)
            unfinished.chmod(0o755)
            _put_in_place(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _check_folder(folder: Path, mark: str, *, replacing: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / mark).is_file():
        raise UsageError(f"expected a new or empty folder to write to, {folder} is neither")
    if not replacing:
        raise UsageError(
            f"expected a new or empty folder to write to, {folder} has an export or a backup: "
            "`objseek export --force` puts another export in its place"
        )


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Give a folder that is whole its name; what had it before goes afterwards."""
    before = None
    if folder.exists():
        before = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder.parent))
        folder.rename(before)  # onto an empty folder, which it replaces
    try:
        unfinished.rename(folder)
    except OSError:
        if before is not None:
            before.rename(folder)
        raise
    sync(folder.parent)
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)


@contextmanager
def _staged_upload(
    objects: S3Prefix, target: str, progress: Progress, *, replacing: bool
) -> Iterator[Path]:
    there = objects.sizes("")
    if there and CATALOGUE not in there:
        raise UsageError(f"expected a prefix without objects to write to, {target} has some")
    if there and not replacing:
        raise UsageError(
            f"expected a prefix without objects to write to, {target} has an export or a backup: "
            "`objseek export --force` puts another export in its place"
        )
    with tempfile.TemporaryDirectory(prefix="objseek-dataset-") as temporary:
        folder = Path(temporary)
        yield folder
        names = sorted(files_of(folder), key=lambda name: (name == CATALOGUE, name))
        for number, name in enumerate(names, start=1):
            progress.note(f"uploading {number:,} of {len(names):,} files")
            objects.upload(folder / name, name)
        # Until here the catalogue was the old one: what ends before it can be done again.
        objects.remove(sorted(there.keys() - set(names)))


@contextmanager
def local_dataset(source: str, options: StoreOptions, progress: Progress) -> Iterator[Path]:
    """The folder `source`, or what is below `s3://bucket/prefix` in a temporary one.

    Raises UsageError if there is nothing, DatasetError if it changes while it is read, and what a
    bucket raises.
    """
    if not source.startswith("s3://"):
        yield local_folder(source)
        return
    objects = S3Prefix(source, options)
    with tempfile.TemporaryDirectory(prefix="objseek-dataset-") as temporary:
        names = sorted(objects.sizes(""))
        if not names:
            raise UsageError(f"expected objects below {source}, there are none")
        for number, name in enumerate(names, start=1):
            progress.note(f"fetching {number:,} of {len(names):,} files")
            path = _below(Path(temporary), name, source)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("wb") as file:
                    objects.download(name, file)
            except ObjectGoneError as exc:
                raise DatasetError(f"{source} changes while it is read: {exc}") from exc
        yield Path(temporary)


def local_folder(source: str) -> Path:
    """The folder of a dataset that is on this machine. Raises UsageError if there is none."""
    _check_scheme(source)
    folder = Path(source).expanduser()
    if not os.path.isdir(folder):
        found = "a file" if os.path.exists(folder) else "nothing"
        raise UsageError(f"expected a folder or s3://bucket/prefix, got {found} at {source!r}")
    return folder


def files_of(folder: Path) -> list[str]:
    """Names of all files below a folder, relative to it, sorted."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _below(folder: Path, name: str, source: str) -> Path:
    path = (folder / name).resolve()
    if folder.resolve() not in path.parents:
        raise DatasetError(f"expected files of a dataset below {source}, got {name!r}")
    return path


def _check_scheme(location: str) -> None:
    if "://" in location or not location:
        raise UsageError(f"expected a folder or s3://bucket/prefix, got {location!r}")


@contextmanager
def _raising_write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise IndexUnavailableError(f"the folder {folder} cannot be written: {reason}") from exc
