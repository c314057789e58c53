"""Says what an ingest or a sync would do: by the listing and the manifest, with nothing loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow.compute as pc

from pipeline.index_home import IndexHome, has_index
from pipeline.ingestion.box_file import read_setting_boxes
from pipeline.ingestion.listing import LISTED_AT_ONCE, ArchivedImages, describe_nothing, list_chunks
from pipeline.ingestion.past_pace import Pace, find_pace
from pipeline.jobs.sync import find_gone
from pipeline.manifest.image_keys import FinishedImages, KeySet, keys_of_images
from pipeline.manifest.manifest_columns import list_keys
from pipeline.manifest.touched_files import find_finished
from pipeline.progress import Progress
from pipeline.runners.recipe import video_options
from pipeline.settings import Settings
from schemas.errors import TooManyGoneError, UsageError
from schemas.images import ImageRef
from schemas.manifest import State
from schemas.pipelines import video_fingerprint
from workers.protocols import Skipped
from workers.stores.selection import is_video


@dataclass(frozen=True, slots=True)
class IngestForecast:
    """What a run would do with the images that are `listed`.

    `unchanged` ones would be left alone, `new` ones have no record, `again` counts those that have
    changed, have failed, or were done by other settings; `videos` are those among the last two.
    `removed`: images of a sync that are no longer there, None for an ingest. `is_known`: whether
    these settings have run on this index before; if not, only the models tell whether what it has
    is of the same pipeline, and all is counted as work. `pace` is that of an earlier run.
    """

    listed: int
    unchanged: int
    new: int
    again: int
    videos: int
    is_known: bool
    skipped: Mapping[str, int] = field(default_factory=dict)
    removed: int | None = None
    pace: Pace | None = None

    @property
    def work(self) -> int:
        """Images that a run would work on."""
        return self.new + self.again

    @property
    def seconds(self) -> float | None:
        """How long that would take once models are loaded; None if nobody can tell."""
        if not self.work:
            return 0.0
        # How many frames a video has is not in a listing.
        if self.pace is None or self.videos:
            return None
        return self.work / self.pace.images_per_s


def forecast_ingest(
    sources: Sequence[str], settings: Settings, progress: Progress | None = None
) -> IngestForecast:
    """What `ingest` of these sources would do now. Nothing is written.

    Raises UsageError where there are no images, and what listing and manifest raise.
    """
    skipped: Counter[str] = Counter()
    chunks = list_chunks(
        sources, settings.store, LISTED_AT_ONCE, settings.limit, _count_into(skipped)
    )
    home = IndexHome.current(settings)
    home.require_shareable()
    found = _look_at(chunks, sources, settings, home, progress or Progress())
    if not found.listed and settings.store.shard is None:
        raise UsageError(describe_nothing(sources, skipped, settings.store))
    return replace(found, skipped=dict(skipped))


def forecast_sync(
    sources: Sequence[str],
    settings: Settings,
    max_delete: float,
    progress: Progress | None = None,
) -> IngestForecast:
    """What `sync` of these sources would do now. Nothing is written.

    Raises TooManyGoneError where it would refuse, and what listing and manifest raise.
    """
    if settings.limit is not None:
        raise UsageError("expected no limit: a sync has to see all of its source")
    skipped: Counter[str] = Counter()
    archived = ArchivedImages(_count_into(skipped))
    keys = []

    def note_keys() -> Iterator[list[ImageRef]]:
        for refs in list_chunks(sources, settings.store, LISTED_AT_ONCE, None, archived):
            keys.append(keys_of_images(refs))
            yield refs

    home = IndexHome.current(settings)
    home.require_shareable()
    found = _look_at(note_keys(), sources, settings, home, progress or Progress())
    present = KeySet([*keys, *archived.keys()])
    try:
        gone = find_gone(sources, home, max_delete, present)
    except TooManyGoneError as exc:
        raise TooManyGoneError(f"{exc}: nothing would be changed") from None
    return replace(found, skipped=dict(skipped), removed=len(gone))


def _count_into(skipped: Counter[str]) -> Skipped:
    def count(reason: str, uri: str) -> None:
        skipped[reason] += 1

    return count


def _look_at(
    chunks: Iterator[list[ImageRef]],
    sources: Sequence[str],
    settings: Settings,
    home: IndexHome,
    progress: Progress,
) -> IngestForecast:
    """Hold what is listed against the record."""
    known = home.pipelines.find(settings) if has_index(home, settings) else None
    finished = _find_finished(home, known, settings, sources)
    recorded = _find_recorded(home)
    counts: Counter[str] = Counter()
    with progress:
        progress.note("listing images, to say what would be done")
        for refs in chunks:
            done, _ = find_finished(refs, finished)
            left = [ref for ref, is_done in zip(refs, done, strict=True) if not is_done]
            again = int(recorded.has(keys_of_images(left)).sum())
            counts["listed"] += len(refs)
            counts["unchanged"] += sum(done)
            counts["again"] += again
            counts["new"] += len(left) - again
            counts["videos"] += sum(is_video(ref.key, settings.store) for ref in left)
    pace = None if known is None else find_pace(home.log_folder, known)
    return IngestForecast(
        listed=counts["listed"],
        unchanged=counts["unchanged"],
        new=counts["new"],
        again=counts["again"],
        videos=counts["videos"],
        is_known=known is not None,
        pace=pace,
    )


def _find_finished(
    home: IndexHome, known: str | None, settings: Settings, sources: Sequence[str]
) -> FinishedImages:
    if known is None:
        return FinishedImages()
    boxes = read_setting_boxes(settings, sources)
    return home.manifest.finished_images(
        known,
        video_fingerprint(known, video_options(settings)),
        is_video=lambda ref: is_video(ref.key, home.store),
        boxes={str(image): given.digest for image, given in boxes.items()},
        shard=home.store.chosen_shard,
    )


def _find_recorded(home: IndexHome) -> KeySet:
    """The images that the record has, but for those that are gone."""
    there = pc.field("state") != State.GONE.value
    tables = home.manifest.tables(["image_id", "state"])
    return KeySet(list_keys(table.filter(there)["image_id"]) for table in tables)
