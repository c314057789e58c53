"""Opens the folder of an index of Qdrant Edge, or makes one."""

from __future__ import annotations

from pathlib import Path

import qdrant_edge as edge

from schemas.errors import EmbedderMismatchError, IndexMissingError, UsageError
from schemas.named_vectors import NO_NAMED, NamedDims, find_missing
from schemas.options import IndexOptions
from workers.indexes.edge.copies import SHARD, copy_aside, is_writable
from workers.indexes.edge.disk_room import OPEN_RESERVE, WRITE_RESERVE, check_room
from workers.indexes.edge.engine_errors import raising_index_errors
from workers.indexes.edge.folder_lock import FolderLock
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.edge.schema import (
    CONFIG_FILE,
    UNFINISHED,
    add_missing_fields,
    add_named,
    create_shard,
    make_config,
    read_dim,
    read_named,
)
from workers.indexes.location import (
    CURRENT_FILE,
    GENERATIONS_FOLDER,
    MANIFEST_FOLDER,
    SERVICE_FILE,
    index_folder,
)

_OTHERS = (MANIFEST_FOLDER, SERVICE_FILE, GENERATIONS_FOLDER, CURRENT_FILE)


def build(
    options: IndexOptions, dim: int | None, *, create: bool = False, named: NamedDims = NO_NAMED
) -> EdgeIndex:
    """Open the folder `options.location`, or make an index of it; see `open_index`."""
    folder = index_folder(options.location)
    shard = folder / SHARD
    with raising_index_errors(folder):
        if not (shard / CONFIG_FILE).is_file():
            _check_free_for_index(folder)
            if not create:
                raise IndexMissingError(f"there is no index in the folder {folder}")
            folder.mkdir(parents=True, exist_ok=True)
        # Edge notices that a shard is open elsewhere only after it has touched its owner's files,
        # and then the owner's next flush fails.
        lock = FolderLock(folder)
        try:
            if not create and not is_writable(shard):
                return _open_copy(folder, dim, options.upsert_batch, lock)
            return _open_locked(folder, dim, options.upsert_batch, lock, named)
        except BaseException:
            lock.release()
            raise


def _open_locked(
    folder: Path,
    dim: int | None,
    upsert_batch: int,
    lock: FolderLock,
    named: NamedDims = NO_NAMED,
) -> EdgeIndex:
    """Open the shard in a folder that this process has locked; make it if `dim` is given."""
    shard = folder / SHARD
    if dim is not None and not (shard / CONFIG_FILE).is_file():
        create_shard(folder, dim, named)
    stored = read_dim(shard)
    if dim is not None and dim != stored:
        raise EmbedderMismatchError(
            f"the index in {folder} holds vectors of {stored} numbers, "
            f"but the embedder makes vectors of {dim}"
        )
    there = read_named(shard)
    missing = find_missing(there, named, str(folder))
    check_room(folder, WRITE_RESERVE if missing else OPEN_RESERVE)
    loaded = edge.EdgeShard.load(str(shard), make_config(stored, there))
    add_missing_fields(loaded, shard)
    add_named(loaded, missing)
    return EdgeIndex(folder, stored, upsert_batch, loaded, lock)


def _open_copy(folder: Path, dim: int | None, upsert_batch: int, lock: FolderLock) -> EdgeIndex:
    """Open a copy of a shard that may only be read, in a temporary folder; let go of `folder`."""
    copy = copy_aside(folder)
    try:
        place = Path(copy.name)
        opened = _open_locked(place, dim, upsert_batch, FolderLock(place))
    except BaseException:
        copy.cleanup()
        raise
    lock.release()
    opened.become_copy(folder, copy)
    return opened


def _check_free_for_index(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"expected a folder as index, but {folder} is a file")
    for entry in sorted(folder.iterdir()):
        if entry.name not in (SHARD, *_OTHERS) and not entry.name.startswith(UNFINISHED):
            raise UsageError(
                f"the folder {folder} is no index and holds other things ({entry.name}), "
                "choose another"
            )
