"""One ingest: list, leave out what is done, spread the work, write, count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.ingestion.listing import list_chunks
from pipeline.ingestion.session import LISTED_AT_ONCE, IngestSession, Listing, StoredMasks
from pipeline.progress import Progress, RunDetails
from pipeline.runners.recipe import Recipe, build_recipe
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import UsageError
from schemas.images import ImageRef
from workers.protocols import VectorIndex


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What a run came to. `log` is None if there was nothing to do."""

    counts: IngestCounts
    details: RunDetails
    seconds: float
    images_per_s: float
    location: str
    log: Path | None


def ingest(
    sources: Sequence[str],
    settings: Settings,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
    index: VectorIndex | None = None,
) -> IngestSummary:
    """Make the images at `sources` searchable in the index that `settings` name.

    Images that are done or rejected under the same settings and models are left alone; if that is
    all of them, no model is loaded. `progress.counts` is right at any time, also when this raises
    (KeyboardInterrupt included): whatever was finished by then is written. `recipe` is what
    workers are built from, by default what the settings say; `index` the one that the settings
    name, if it is open here already, and stays so. Raises ObjseekError: UsageError where there are
    no images, and what stores, models and index raise.
    """

    progress = progress or Progress()
    listing = _list_or_raise(sources, settings, progress)
    return ingest_listed(listing, settings, progress, recipe, index)


def ingest_listed(
    listing: Listing,
    settings: Settings,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
    index: VectorIndex | None = None,
    *,
    again: bool = False,
    masks: StoredMasks | None = None,
) -> IngestSummary:
    """`ingest` of the chunks that `listing` gives; `again`: also what is finished.

    `masks`: those of images that are not to be segmented, by image id.
    """
    progress = progress or Progress()
    recipe = recipe or build_recipe(settings)
    with progress, IngestSession(settings, recipe, index, masks) as session:
        log = session.run(listing, progress, again=again)
    return IngestSummary(
        progress.counts,
        progress.details,
        progress.seconds,
        progress.rate,
        settings.index.location,
        log,
    )


def _list_or_raise(
    sources: Sequence[str], settings: Settings, progress: Progress
) -> Iterator[list[ImageRef]]:
    """The chunks of a listing. Raises UsageError, when the first is taken, if there is none."""
    skipped = progress.details.skipped
    empty = True
    for refs in list_chunks(
        sources, settings.store, LISTED_AT_ONCE, settings.limit, progress.details.skip
    ):
        empty = False
        yield refs
    if empty:
        reasons = ", ".join(f"{number:,} as {reason}" for reason, number in sorted(skipped.items()))
        raise UsageError(
            f"no images under {' '.join(sources)}" + (f" (skipped: {reasons})" if reasons else "")
        )
