"""Fetches what is at a prefix of a bucket and may hold vectors, and nothing else of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.progress import Progress
from pipeline.transfer.dataset_storage import CATALOGUE
from pipeline.transfer.sources.table_file import ARROW, PARQUET, TEXTS
from schemas.errors import DatasetError, ObjectGoneError, UsageError
from schemas.options import StoreOptions
from workers.stores.s3_prefix import S3Prefix

_WANTED = (*PARQUET, *ARROW, *TEXTS, ".npy")


def names_file(place: str) -> bool:
    """Whether a place is by its name one file that may hold vectors, or rows beside them."""
    return place.lower().endswith(_WANTED)


def has_own_export(place: str, options: StoreOptions) -> bool:
    """Whether there is an export or a backup of objseek below a prefix, or nothing at all."""
    objects = S3Prefix(place, options)
    if any(objects.sizes(start) for start in (CATALOGUE, "points/")):
        return True
    return not any(map(names_file, objects.sizes("")))


@contextmanager
def fetched_place(place: str, options: StoreOptions, progress: Progress) -> Iterator[Path]:
    """What may hold vectors at an object or below a prefix, in a temporary folder.

    The path is that of the file where `place` is one object. Raises UsageError if there is nothing,
    DatasetError if it changes meanwhile, and what a bucket raises.
    """
    parent, _, name = place.rpartition("/")
    is_file = names_file(place)
    objects = S3Prefix(parent if is_file else place, options)
    # Of an array also what is beside it.
    start = name.rpartition(".")[0] + "." if is_file else ""
    names = sorted(
        each
        for each in objects.sizes(start)
        if names_file(each) and (not is_file or name.lower().endswith(".npy") or each == name)
    )
    if not names:
        raise UsageError(f"expected files of vectors at {place}, there are none")
    with tempfile.TemporaryDirectory(prefix="objseek-vectors-") as temporary:
        folder = Path(temporary)
        for number, each in enumerate(names, start=1):
            progress.note(f"fetching {number:,} of {len(names):,} files")
            path = (folder / each).resolve()
            if folder.resolve() not in path.parents:
                raise DatasetError(f"expected files below {place}, got {each!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("wb") as file:
                    objects.download(each, file)
            except ObjectGoneError as exc:
                raise DatasetError(f"{place} changes while it is read: {exc}") from exc
        yield folder / name if is_file else folder
