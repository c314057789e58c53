"""Ingests into one index, repeatedly, with models that are loaded once, when first needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Self
from uuid import UUID

from pipeline.index_home import IndexHome, current_generation
from pipeline.ingestion.log_file import job_log
from pipeline.ingestion.precision import settle_precision
from pipeline.ingestion.resume import leave_out_finished
from pipeline.ingestion.same_contents import SameContents
from pipeline.ingestion.video_queue import VideoQueue
from pipeline.ingestion.writer import Writer
from pipeline.manifest.image_keys import FinishedImages
from pipeline.messages import describe_dropped
from pipeline.observing.event_log import log_failures
from pipeline.observing.observe import observe
from pipeline.observing.observer import RunObserver
from pipeline.observing.work_reports import StageRecorder
from pipeline.progress import Progress
from pipeline.runners.base import Runner
from pipeline.runners.open import open_runner
from pipeline.runners.recipe import RecipeBuilder, build_recipe, video_options
from pipeline.settings import Settings
from schemas.added import AddedObject
from schemas.boxes import ImageBoxes
from schemas.errors import (
    EmbedderMismatchError,
    GenerationChangedError,
    ModelError,
    UsageError,
)
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.masks import KnownObjects, ObjectMask
from schemas.options import Precision, VideoOptions
from schemas.pipelines import video_fingerprint
from schemas.records import Result
from schemas.work import WorkItem
from workers.protocols import VectorIndex
from workers.stores.selection import is_video
from workers.videos.build_video import VideoMaker

_log = logging.getLogger(__name__)

Listing = Iterable[list[ImageRef]]
"""Chunks of images; the session counts them as it takes them."""
StoredMasks = Mapping[UUID, tuple[ObjectMask, ...]]
"""The masks of images that are not to be segmented, by image id."""
BoxesByImage = Mapping[UUID, ImageBoxes]
"""The boxes of images in which objects are known to be, by image id."""
MaskFinder = Callable[[list[ImageRef]], StoredMasks]


@dataclass(frozen=True)
class _Run:
    """What one ingest of a session has of its own; `started_at`: UTC, before its listing."""

    home: IndexHome
    progress: Progress
    started_at: datetime
    again: bool
    boxes: Mapping[str, str]
    video: VideoOptions

    @cached_property
    def added(self) -> dict[str, tuple[AddedObject, ...]]:
        """What was added to images by hand; what comes later supersedes this run's writes."""
        return self.home.manifest.added.by_image()

    def find_finished(self, fingerprint: str) -> FinishedImages:
        if self.again:
            return FinishedImages()
        of_videos = video_fingerprint(fingerprint, self.video)
        return self.home.manifest.finished_images(
            fingerprint,
            of_videos,
            is_video=lambda ref: is_video(ref.key, self.home.store),
            boxes=self.boxes,
            shard=self.home.store.chosen_shard,
        )


class IngestSession:
    """Ingests, one after the other; the index is open only while images are written.

    `build` makes what workers are built from, of the settings with the precision that the index
    goes on in; `index` is the one that the settings name, if it is open
    here already, and stays so. Images whose `masks` are given are not segmented, those that have
    `boxes` are with them. `observer` is told what passes, None: those that the settings name. For
    one thread.
    """

    def __init__(
        self,
        settings: Settings,
        build: RecipeBuilder = build_recipe,
        index: VectorIndex | None = None,
        masks: StoredMasks | None = None,
        boxes: BoxesByImage | None = None,
        observer: RunObserver | None = None,
    ) -> None:
        self._settings = settings
        self._observer = observer or RunObserver()
        self._observes = observer is None
        self._build = build
        self._index = index
        self._masks, self._boxes = masks or {}, boxes or {}
        self._digests = {str(image): given.digest for image, given in self._boxes.items()}
        self._held, self._observing = ExitStack(), ExitStack()
        self._runner: Runner | None = None
        self._log: Path | None = None
        self._precision: Precision | None = None

    def __enter__(self) -> Self:
        if self._observes:
            self._observer = self._observing.enter_context(observe(self._settings.observe))
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._observing:
            self.close()

    def close(self) -> None:
        """Let the models go; the next image would have them loaded again."""
        self._runner = self._log = self._precision = None
        self._held.close()

    def run(
        self,
        listing: Listing,
        home: IndexHome,
        progress: Progress,
        *,
        again: bool = False,
        started_at: datetime | None = None,
    ) -> Path | None:
        """Ingest what `listing` gives into `home`; the log file, None if there is nothing to do.

        `again`: also what is finished. `started_at`, UTC: when whoever calls began to look at what
        there is; None: now. `progress.counts` is right at any time. Raises what `ingest` does; the
        models are let go then, as what was in flight would come out of the next run.
        """
        started_at = started_at or datetime.now(UTC)
        progress.tell(self._observer)
        run = _Run(home, progress, started_at, again, self._digests, video_options(self._settings))
        try:
            log = self._run(listing, run)
        except BaseException:
            self.close()
            raise
        progress.counts.check_complete()
        if current_generation(self._settings) != home.generation:
            raise GenerationChangedError(
                f"another generation of {home.location} came into use while this "
                "ran, and what was written is in the one before: it has to be done again"
            )
        return log

    def _run(self, listing: Listing, run: _Run) -> Path | None:
        run.progress.note("listing images")
        # Before anything costs time: an index that is in use or broken is reported at once.
        exists = self._index is not None or run.home.exists()
        images = _count_listed(listing, run.progress)
        known = run.home.pipelines.find(self._settings) if exists else None
        if known is not None:
            images = self._leave_out(images, run.find_finished(known), run)
        first = next(images, None)
        if first is None:
            run.home.manifest.flush()
            return None
        return self._work(chain([first], images), known, run, new_index=not exists)

    def _work(
        self, images: Iterator[list[ImageRef]], known: str | None, run: _Run, *, new_index: bool
    ) -> Path:
        """Work on `images`: what there is to do if the pipeline is `known`, else what is listed."""
        if new_index:
            _begin_manifest(run.home)
            images = self._leave_out(images, FinishedImages(), run)
        # Without a known pipeline nobody can tell yet what there is to do, and what the index has
        # of the same contents only when it is open. Ray first: nothing may be forked while it is.
        same = None if known is None else SameContents(run.home.manifest, known)
        may_read_early = new_index or (same is not None and not len(same))
        pieces, tracks = run.home.manifest.pieces, run.home.manifest.tracks
        store, workers = self._settings.store, self._settings.runner.workers
        warn = run.progress.warn_of_image
        videos = VideoQueue(store, pieces, tracks, warn, workers)
        items = videos.items(self._add_masks(images, run))
        early = items if may_read_early else iter(())
        begun = None if new_index else run.home.pipelines.precision()
        runner, log, precision = self._open_runner(run, begun, early)
        with self._open_index(run.home, runner.info.dim) as index:
            fingerprint = runner.info.fingerprint
            if known != fingerprint:
                run.home.pipelines.remember(self._settings, runner.info.pipeline)
            if known not in (None, fingerprint):
                raise ModelError(
                    "the weights of the models have changed in place since the settings last ran "
                    "on this index: run the command again to embed everything anew"
                )
            if same is None and not new_index:
                images = self._leave_out(images, run.find_finished(fingerprint), run)
                same = SameContents(run.home.manifest, fingerprint)
            self._make_videos(videos, runner, run.home)
            if same is not None and not may_read_early:
                items = videos.items(
                    self._add_masks(images, run, partial(same.find_masks, index=index))
                )
            run.home.pipelines.keep_precision(precision)
            _log.info("%s as %s", run.home.index.location, fingerprint)
            self._write_results(runner, items, videos, index, run, new_index=new_index)
        return log

    def _write_results(
        self,
        runner: Runner,
        items: Iterator[list[WorkItem]],
        videos: VideoQueue,
        index: VectorIndex,
        run: _Run,
        *,
        new_index: bool,
    ) -> None:
        """From the listing through the runner into index and manifest."""
        progress, manifest = run.progress, run.home.manifest
        with Writer(
            index,
            manifest,
            videos.revision_of,
            on_written=lambda results: _note_written(results, progress, videos),
            run_started_at=run.started_at,
            new_index=new_index,
            attempts={} if new_index else manifest.attempts(),
            boxes=run.boxes,
            observer=progress.observer,
        ) as writer:
            runner.observer = progress.observer
            progress.begin(runner.throughput)
            progress.advance()
            for worked in runner.run(items):
                results = videos.take(worked)
                progress.note_videos(videos.frames)
                progress.add_finished(len(results))
                writer.add(results)
                progress.advance()
                log_failures(results)
        if writer.dropped:
            progress.details.dropped_added += writer.dropped
            _log.warning("%s", describe_dropped(writer.dropped))
        _log.info("%s", progress.describe())
        manifest.compact()

    def _make_videos(self, videos: VideoQueue, runner: Runner, home: IndexHome) -> None:
        """Let videos be made with the models that are loaded."""
        pipeline = runner.info.pipeline.for_videos(video_options(self._settings))
        videos.maker = VideoMaker(pipeline)
        if home.pipelines.look_up(pipeline.fingerprint) is None:
            home.pipelines.describe(pipeline)

    def _open_runner(
        self, run: _Run, begun: Precision | None, early: Iterator[list[WorkItem]]
    ) -> tuple[Runner, Path, Precision]:
        """The runner, its log file, and what it computes in; models are loaded unless they are.

        `begun`: what the index was begun in. `early` are images of which the first may be read
        meanwhile.
        """
        if begun is not None and begun != self._precision:
            # Another generation came into use since the models were loaded.
            self.close()
        if self._runner is None or self._log is None or self._precision is None:
            progress = run.progress
            self._log = self._held.enter_context(job_log(run.home.log_folder))
            self._precision = settle_precision(self._settings, begun, progress.warn)
            recipe = self._build(self._settings.with_precision(self._precision))
            options = self._settings.runner
            opened = open_runner(recipe, options, self._log, progress.note, early)
            self._runner = self._held.enter_context(opened)
            for note in self._runner.info.notes:
                progress.warn(note)
        return self._runner, self._log, self._precision

    def _add_masks(
        self, images: Iterator[list[ImageRef]], run: _Run, find: MaskFinder = lambda refs: {}
    ) -> Iterator[list[WorkItem]]:
        """The masks or boxes that are given, else the masks that `find` knows of.

        And with either what was added by hand.
        """
        for refs in images:
            found = find(refs)
            ids = [image_id(ref) for ref in refs]
            yield [
                WorkItem(ref, self._know(image, found), run.added.get(str(image), ()))
                for ref, image in zip(refs, ids, strict=True)
            ]

    def _know(self, image: UUID, found: StoredMasks) -> KnownObjects:
        if image in self._masks:
            return self._masks[image]
        return self._boxes.get(image, found.get(image))

    def _leave_out(
        self, images: Iterator[list[ImageRef]], finished: FinishedImages, run: _Run
    ) -> Iterator[list[ImageRef]]:
        runner, manifest = self._settings.runner, run.home.manifest
        return leave_out_finished(images, finished, manifest, run.progress, runner)

    @contextmanager
    def _open_index(self, home: IndexHome, dim: int) -> Iterator[VectorIndex]:
        if self._index is None:
            with home.points(create_for=dim) as index:
                yield index
            return
        if self._index.dim != dim:
            raise EmbedderMismatchError(
                f"the index holds vectors of {self._index.dim} numbers, but the embedder makes "
                f"vectors of {dim}"
            )
        yield self._index


def _note_written(results: Sequence[Result], progress: Progress, videos: VideoQueue) -> None:
    progress.add_results(results)
    videos.forget(results)


def _begin_manifest(home: IndexHome) -> None:
    """Move the manifest of an index that is gone out of the way of the new one's.

    Where there are rows their index was made before them: another job may have begun meanwhile.
    """
    if not home.parts.sizes() or home.exists():
        return
    if home.index.state is not None:
        raise UsageError(
            f"there is no index at {home.index.location}, but images of one are recorded in "
            f"{home.parts.place}: choose another state, or remove that one"
        )
    home.manifest.set_aside()


def _count_listed(listing: Listing, progress: Progress) -> Iterator[list[ImageRef]]:
    stages, chunks = StageRecorder(), iter(listing)
    while True:
        with stages.of("list"):
            refs = next(chunks, None)
        if refs is None:
            break
        progress.add_listed(len(refs))
        progress.observer.note_listing(refs, stages.take()[-1])
        yield refs
    progress.end_listing()
