"""An index and its manifest, held still for as long as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from pipeline.manifest import Manifest, open_manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import IndexBusyError, IndexMissingError
from workers.indexes import index_folder, is_server, open_index
from workers.protocols import VectorIndex

_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Still:
    """`moving`: index and manifest may differ, as others have gone on writing to one of them."""

    index: VectorIndex
    manifest: Manifest
    moving: bool


@contextmanager
def held_still(settings: Settings, progress: Progress) -> Iterator[Still]:
    """The index of `settings`, to be read; nobody else writes to it meanwhile, but to a server's.

    While another process has a folder open, that one makes a copy, which needs as much room on its
    disk. Raises IndexMissingError, IndexBusyError, IndexUnavailableError.
    """
    manifest = open_manifest(settings.index, settings.store)
    if not manifest.exists():
        raise IndexMissingError(
            f"expected an index at {settings.index.location!r}, nothing was ingested there"
        )
    try:
        index = open_index(settings.index, None)
    except IndexBusyError:
        with _copied(settings, progress) as copy:
            yield Still(copy, manifest, moving=True)
        return
    with closing(index):
        yield Still(index, manifest, moving=is_server(settings.index.location))


@contextmanager
def _copied(settings: Settings, progress: Progress) -> Iterator[VectorIndex]:
    from workers.indexes.edge_copies import copy_by_owner

    folder = index_folder(settings.index.location)
    progress.note("waiting for a copy from the process that has the index open")
    with copy_by_owner(folder, _PATIENCE_S, lambda: None) as copy:
        options = settings.index.model_copy(update={"location": str(copy)})
        with closing(open_index(options, None)) as index:
            yield index
