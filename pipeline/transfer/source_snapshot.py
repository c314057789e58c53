"""An index and its manifest, held still for as long as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from pipeline.index_home import at_current
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.manifest.manifest import Manifest, open_manifest, parts_of
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import IndexBusyError, IndexMissingError
from schemas.pipelines import Pipeline
from workers.indexes.location import index_folder, is_server
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Still:
    """`moving`: index and manifest may differ, as others have gone on writing to one of them.

    `pipelines` are those that have made it, as far as they are known.
    """

    index: VectorIndex
    manifest: Manifest
    moving: bool
    pipelines: tuple[Pipeline, ...]


@contextmanager
def held_still(settings: Settings, progress: Progress) -> Iterator[Still]:
    """The index of `settings`, to be read; nobody else writes to it meanwhile, but to a server's.

    While another process has a folder open, that one makes a copy, which needs as much room on its
    disk. Raises IndexMissingError, IndexBusyError, IndexUnavailableError.
    """
    location, settings = settings.index.location, at_current(settings)
    manifest = open_manifest(settings.index, settings.store)
    if not manifest.exists():
        raise IndexMissingError(f"expected an index at {location!r}, nothing was ingested there")
    known = KnownPipelines(parts_of(settings.index, settings.store))
    described = map(known.look_up, sorted(manifest.fingerprints()))
    pipelines = tuple(one for one in described if one is not None)
    try:
        index = open_index(settings.index, None)
    except IndexBusyError:
        with _copied(settings, progress) as copy:
            yield Still(copy, manifest, True, pipelines)
        return
    with closing(index):
        yield Still(index, manifest, is_server(settings.index.location), pipelines)


@contextmanager
def _copied(settings: Settings, progress: Progress) -> Iterator[VectorIndex]:
    from workers.indexes.edge.copies import copy_by_owner

    folder = index_folder(settings.index.location)
    progress.note("waiting for a copy from the process that has the index open")
    with copy_by_owner(folder, _PATIENCE_S, lambda: None) as copy:
        options = settings.index.model_copy(update={"location": str(copy)})
        with closing(open_index(options, None)) as index:
            yield index
