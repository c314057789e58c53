"""Ingests sources: lists, leaves out what is done, spreads the work, writes, counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.index_home import IndexHome
from pipeline.ingestion.box_file import read_setting_boxes
from pipeline.ingestion.listing import LISTED_AT_ONCE, describe_nothing, list_chunks
from pipeline.ingestion.session import BoxesByImage, IngestSession
from pipeline.messages import quantify
from pipeline.progress import Progress, RunDetails
from pipeline.runners.recipe import Recipe, build_always, build_recipe
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import UsageError
from schemas.ids import image_id
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

    @classmethod
    def of(cls, home: IndexHome, progress: Progress, log: Path | None) -> Self:
        """What a run into `home` that has ended came to."""
        return cls(
            progress.counts,
            progress.details,
            progress.seconds,
            progress.rate,
            home.location,
            log,
        )


def ingest(
    sources: Sequence[str],
    settings: Settings,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
    index: VectorIndex | None = None,
    home: IndexHome | None = None,
) -> IngestSummary:
    """Make the images at `sources` searchable in the index that `settings` name.

    Images that are done or rejected under the same settings and models are left alone; if that is
    all of them, no model is loaded. `progress.counts` is right at any time, also when this raises
    (KeyboardInterrupt included): whatever was finished by then is written. `recipe` is what
    workers are built from, by default what the settings say; `index` the one that the settings
    name, if it is open here already, and stays so; `home` the generation of it, by default the one
    in use. Raises ObjseekError: UsageError where there are no images, unless they are in other
    shards, and for a shard into an index that has one owner; and what stores, models and index
    raise.
    """
    progress, home = progress or Progress(), home or IndexHome.current(settings)
    home.require_shareable()
    listing = _list_or_raise(sources, settings, progress)
    build = build_always(recipe) if recipe else build_recipe
    boxes = read_setting_boxes(settings, sources)
    with progress, IngestSession(settings, build, index, boxes=boxes) as session:
        listing = _note_boxes(listing, boxes, progress, limited=settings.limit is not None)
        log = session.run(listing, home, progress)
    return IngestSummary.of(home, progress, log)


def _note_boxes(
    listing: Iterator[list[ImageRef]],
    boxes: BoxesByImage,
    progress: Progress,
    *,
    limited: bool,
) -> Iterator[list[ImageRef]]:
    """The listing; at its end a warning where it lacks images that have boxes."""
    if not boxes or limited:
        yield from listing
        return
    missing = set(boxes)
    for refs in listing:
        missing.difference_update(map(image_id, refs))
        yield refs
    if missing:
        progress.warn(
            f"{len(missing):,} of {quantify(len(boxes), 'image')} with boxes were not listed, "
            "by their uri or by their file_name below the source"
        )


def _list_or_raise(
    sources: Sequence[str], settings: Settings, progress: Progress
) -> Iterator[list[ImageRef]]:
    """The chunks of a listing.

    Raises UsageError, when the first is taken, if there is none; a shard may be empty.
    """
    empty = True
    for refs in list_chunks(
        sources, settings.store, LISTED_AT_ONCE, settings.limit, progress.details.skip
    ):
        empty = False
        yield refs
    if empty and settings.store.shard is None:
        raise UsageError(describe_nothing(sources, progress.details.skipped, settings.store))
