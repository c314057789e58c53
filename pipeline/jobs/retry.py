"""Another attempt at the images that failed, and at no others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipeline.index_home import at_current
from pipeline.jobs.ingest import IngestSummary, ingest_listed
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.manifest.manifest import Manifest, parts_of
from pipeline.progress import Counts, Progress
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import IndexMissingError, UsageError
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from workers.stores.open import find


def retry(
    settings: Settings,
    states: Collection[State] = (State.FAILED,),
    progress: Progress | None = None,
    recipe: Recipe | None = None,
) -> IngestSummary | None:
    """Work again on the images whose last attempt ended in one of `states`; None if there are none.

    Each in the version that its store has now; those that are there no more become gone. Raises
    UsageError if `settings` are not those of an ingest into this index, and what `ingest` raises.
    """
    location = settings.index.location
    current = at_current(settings)
    parts = parts_of(current.index, current.store)
    manifest = Manifest(parts)
    if not manifest.exists():
        raise IndexMissingError(f"expected an index at {location!r}, nothing was ingested there")
    pipeline = KnownPipelines(parts).find(settings)
    if pipeline is None:
        raise UsageError(
            f"expected the settings and models of an ingest into {location!r}, got others: "
            "a retry would mix two kinds of objects"
        )

    rows = [row for row in manifest.latest() if row.state in states and row.fingerprint == pipeline]
    if not rows:
        return None

    def listing(counts: Counts) -> Iterator[list[ImageRef]]:
        size = settings.runner.batch_size
        with ThreadPoolExecutor(settings.runner.read_concurrency) as pool:
            for start in range(0, len(rows), size):
                refs = list(pool.map(partial(_as_it_is_now, settings), rows[start : start + size]))
                counts.listing.listed += len(refs)
                yield refs

    return ingest_listed(listing, settings, progress, recipe, again=True)


def _as_it_is_now(settings: Settings, row: ManifestRow) -> ImageRef:
    ref = ImageRef.from_uri(row.uri, row.version, row.size_bytes)
    # One that is gone is found out when it is read, and recorded as every other.
    return find(ref, settings.store) or ref
