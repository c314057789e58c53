"""Holds an index and its manifest unchanged for as long as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from pipeline.index_home import IndexHome
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import IndexBusyError
from schemas.pipelines import Pipeline
from workers.indexes.location import index_folder
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """What is read of an index. `may_differ`: others have gone on writing to index or manifest.

    `pipelines` are those that have made it, as far as they are known.
    """

    index: VectorIndex
    manifest: Manifest
    may_differ: bool
    pipelines: tuple[Pipeline, ...]


@contextmanager
def hold_source(settings: Settings, progress: Progress) -> Iterator[SourceSnapshot]:
    """The index of `settings`, to be read; nobody else writes to it meanwhile, but to a server's.

    While another process has a folder open, that one makes a copy, which needs as much room on its
    disk. Raises IndexMissingError, IndexBusyError, IndexUnavailableError.
    """
    home = IndexHome.current(settings)
    home.require_ingested()
    described = map(home.pipelines.look_up, sorted(home.manifest.fingerprints()))
    pipelines = tuple(pipeline for pipeline in described if pipeline is not None)
    try:
        index = open_index(home.index, None)
    except IndexBusyError:
        with _open_copy(home, progress) as copy:
            yield SourceSnapshot(copy, home.manifest, True, pipelines)
        return
    with closing(index):
        yield SourceSnapshot(index, home.manifest, home.is_shared, pipelines)


@contextmanager
def _open_copy(home: IndexHome, progress: Progress) -> Iterator[VectorIndex]:
    from workers.indexes.edge.copies import copy_by_owner

    folder = index_folder(home.index.location)
    progress.note("waiting for a copy from the process that has the index open")
    with copy_by_owner(folder, _PATIENCE_S, lambda: None) as copy:
        options = home.index.model_copy(update={"location": str(copy)})
        with closing(open_index(options, None)) as index:
            yield index
