"""Makes an index equal to its source: removes what is gone, ingests what is new or changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import LISTED_AT_ONCE, ArchivedImages, list_chunks
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.manifest.image_keys import KeySet, keys_of_images
from pipeline.manifest.manifest import Manifest
from pipeline.messages import quantify
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import ObjectGoneError, TooManyGoneError, UsageError
from schemas.images import ImageRef, Stage
from schemas.manifest import ManifestRow, State
from schemas.options import StoreOptions
from workers.batching import batched
from workers.protocols import ObjectStore
from workers.stores.open import build_store, find
from workers.stores.selection import is_video

MAX_DELETE = 0.1
"""Share of a source's images whose disappearance is believed without being told."""
_ROWS_AT_ONCE = 1000
_ANY = ImageRef("file", "", "/", version="", size_bytes=0)


@dataclass(frozen=True, slots=True)
class Removal:
    """How many images were removed, and objects that were added to them by hand."""

    images: int = 0
    added: int = 0

    def plus(self, other: Removal) -> Removal:
        """Both together."""
        return Removal(self.images + other.images, self.added + other.added)


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """What a run came to: images removed, and the ingest, None where the source is empty.

    `removed_added`: how many objects that were added by hand went with images.
    """

    removed: int
    removed_added: int
    ingest: IngestSummary | None


def sync(
    sources: Sequence[str],
    settings: Settings,
    max_delete: float = MAX_DELETE,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
) -> SyncSummary:
    """Remove from the index what `sources` no longer list, and `ingest` them.

    Files that are gone leave after the ingest, which may find that they were moved.
    Only images that `sources` would list, were they there, are removed: those of other sources,
    those that patterns, the shard or the range of keys leave out, and those that are archived stay.
    Raises UsageError, with nothing done, if that is a larger share of them than `max_delete`, and
    what `ingest` raises.
    """
    if settings.limit is not None:
        raise UsageError("expected no limit: a sync has to see all of its source")
    started_at = datetime.now(UTC)
    home = IndexHome.current(settings)
    home.require_shareable()
    home.require_usable()
    progress = progress or Progress()
    with progress:
        progress.note("listing images, to find those that are gone")
        archived = ArchivedImages()
        chunks = list_chunks(sources, settings.store, LISTED_AT_ONCE, None, archived)
        listed = [*map(keys_of_images, chunks)]
        present = KeySet([*listed, *archived.keys()])
        try:
            gone = find_gone(sources, home, max_delete, present)
        except TooManyGoneError as exc:
            raise TooManyGoneError(f"{exc}: nothing was changed") from None
        # A file may have been moved: its masks are needed until what has come is done.
        moved = [row for row in gone if row.stamp and find(row.ref, home.store) is None]
        kept = {row.image_id for row in moved}
        others = [row for row in gone if row.image_id not in kept]
        removed = _remove(others, home, started_at, progress)
    ingested = ingest(sources, settings, progress, recipe, home=home) if listed else None
    with progress:
        # That may have taken long enough for some to be back.
        left = [row for row in moved if find(row.ref, home.store) is None]
        removed = removed.plus(_remove(left, home, started_at, progress))
    return SyncSummary(removed.images, removed.added, ingested)


def _remove(
    rows: Sequence[ManifestRow], home: IndexHome, started_at: datetime, progress: Progress
) -> Removal:
    if not rows:
        return Removal()
    progress.note(f"removing {quantify(len(rows), 'image')}")
    return remove_images(rows, home, started_at)


def find_gone(
    sources: Sequence[str], home: IndexHome, max_delete: float, present: KeySet
) -> list[ManifestRow]:
    """What the manifest has of `sources` and is not `present`, which is all that they list.

    Raises TooManyGoneError if that is a larger share of them than `max_delete`.
    """
    stores = open_stores(sources, home.store)
    known, others = home.manifest.find_absent(present, home.store.chosen_shard)
    gone = [row for row in others if any(store.covers(row.ref) for store in stores)]
    known += len(gone)
    if len(gone) > max_delete * known:
        raise TooManyGoneError(
            f"{len(gone):,} of the {known:,} images that were ingested from {' '.join(sources)} "
            f"are no longer there, --max-delete {max_delete:g} allows fewer"
        )
    return gone


def open_stores(sources: Sequence[str], options: StoreOptions) -> list[ObjectStore]:
    """The stores of sources that tell what is no longer there. Raises UsageError for others."""
    stores = [build_store(source, options) for source in sources]
    for store in stores:
        store.covers(_ANY)  # raises for a store that cannot tell of any image
    return stores


def remove_images(
    rows: Sequence[ManifestRow],
    home: IndexHome,
    started_at: datetime,
    unrecorded: Sequence[UUID] = (),
) -> Removal:
    """Remove images from the index; how many are gone. What later runs have written stays.

    What was added to them by hand goes with them.

    `unrecorded` are others that are not there: a run that was
    killed before it came to the manifest may have left points of them.
    """
    removed = Removal()
    tracks, pieces = home.manifest.tracks, home.manifest.pieces
    with home.points() as index:
        for batch in batched(rows, _ROWS_AT_ONCE):
            # A crash in between must not leave an image that is done and has no points: it may
            # come back to its source in the same version.
            _record(
                batch, State.FAILED, "is being removed from the index", home.manifest, started_at
            )
            kept = index.delete_images([UUID(row.image_id) for row in batch], started_at)
            batch = [row for row in batch if UUID(row.image_id) not in kept]
            added = home.manifest.added.remove_images({row.image_id for row in batch})
            videos = [row for row in batch if row.shots or is_video(row.ref.key, home.store)]
            tracks.remove(row.image_id for row in videos)
            pieces.remove(row.ref for row in videos)
            # Later than that, whatever another job makes of the two parts that hold them.
            gone_at = started_at + timedelta(microseconds=1)
            _record(batch, State.GONE, "the listing has it no more", home.manifest, gone_at)
            removed = removed.plus(Removal(len(batch), added))
        if unrecorded:
            index.delete_images(unrecorded, started_at)
    return removed


def _record(
    rows: Sequence[ManifestRow], state: State, got: str, manifest: Manifest, at: datetime
) -> None:
    """`at` is when this run began: the rows of a later one are to be the last."""
    for row in rows:
        message = f"expected a listed object, {got} ({row.uri})"
        gone = row.with_failure(
            state, Stage.READ, ObjectGoneError.__name__, message, at, retryable=False
        )
        manifest.append([gone])
    manifest.flush()
