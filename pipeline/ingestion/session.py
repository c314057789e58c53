"""Several ingests into one index, with models that are loaded once, when they are first needed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Self
from uuid import UUID

from pipeline.index_home import IndexHome, current_generation
from pipeline.ingestion.listing import last_chunk_size
from pipeline.ingestion.log_file import job_log
from pipeline.ingestion.writer import Writer
from pipeline.manifest.image_keys import FinishedImages
from pipeline.progress import Progress
from pipeline.runners.base import Note, Runner
from pipeline.runners.open import open_runner
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import (
    EmbedderMismatchError,
    GenerationChangedError,
    ModelError,
    UsageError,
)
from schemas.ids import image_id
from schemas.images import Failure, ImageRef
from schemas.masks import ObjectMask, WorkItem
from workers.protocols import VectorIndex

_log = logging.getLogger(__name__)
LIST_AHEAD = 10_000
"""Images that are listed before they are needed, so that most runs know how much there is."""
LISTED_AT_ONCE = 500
"""And held against the manifest together: for a few at a time that takes many times as long."""

Listing = Iterable[list[ImageRef]]
"""Chunks of images; the session counts them as it takes them."""
StoredMasks = Mapping[UUID, tuple[ObjectMask, ...]]
"""The masks of images that are not to be segmented, by image id."""


@dataclass(frozen=True)
class _Run:
    """What one ingest of a session has of its own; `started_at`: UTC, before its listing."""

    home: IndexHome
    progress: Progress
    started_at: datetime
    again: bool

    def find_finished(self, fingerprint: str) -> FinishedImages:
        return FinishedImages() if self.again else self.home.manifest.finished_images(fingerprint)


class IngestSession:
    """Ingests, one after the other; the index is open only while images are written.

    `recipe` is what workers are built from; `index` the one that the settings name, if it is open
    here already, and stays so. Images whose `masks` are given are not segmented. For one thread.
    """

    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        index: VectorIndex | None = None,
        masks: StoredMasks | None = None,
    ) -> None:
        self._settings = settings
        self._recipe = recipe
        self._index = index
        self._masks = masks or {}
        self._held = ExitStack()
        self._runner: Runner | None = None
        self._log: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the models go; the next image would have them loaded again."""
        self._runner = self._log = None
        self._held.close()

    def run(
        self,
        listing: Listing,
        progress: Progress,
        *,
        again: bool = False,
        started_at: datetime | None = None,
    ) -> Path | None:
        """Ingest what `listing` gives; the log file, or None if there was nothing to do.

        `again`: also what is finished. `started_at`, UTC: when whoever calls began to look at what
        there is; None: now. `progress.counts` is right at any time. Raises what `ingest` does; the
        models are let go then, as what was in flight would come out of the next run.
        """
        home = IndexHome.current(self._settings)
        run = _Run(home, progress, started_at or datetime.now(UTC), again)
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
            images = self._leave_out(images, run.find_finished(known), run.progress)
        first = next(images, None)
        if first is None:
            return None
        return self._work(chain([first], images), known, run, new_index=not exists)

    def _work(
        self, images: Iterator[list[ImageRef]], known: str | None, run: _Run, *, new_index: bool
    ) -> Path:
        """Work on `images`: what there is to do if the pipeline is `known`, else what is listed."""
        if new_index:
            _begin_manifest(run.home)
            images = self._leave_out(images, FinishedImages(), run.progress)
        # Without a known pipeline nobody can tell yet what there is to do.
        may_read_early = new_index or known is not None
        items = self._add_masks(images)
        # Ray first: nothing may be forked while a shard is open.
        early = items if may_read_early else iter(())
        runner, log = self._open_runner(run.progress.note, early)
        with self._open_index(run.home, runner.info.dim) as index:
            fingerprint = runner.info.fingerprint
            if known != fingerprint:
                run.home.pipelines.remember(self._settings, runner.info.pipeline)
            if known not in (None, fingerprint):
                raise ModelError(
                    "the weights of the models have changed in place since the settings last ran "
                    "on this index: run the command again to embed everything anew"
                )
            if not may_read_early:
                left = self._leave_out(images, run.find_finished(fingerprint), run.progress)
                items = self._add_masks(left)
            _log.info("%s as %s", run.home.index.location, fingerprint)
            self._write_results(runner, items, index, run, new_index=new_index)
        return log

    def _write_results(
        self,
        runner: Runner,
        items: Iterator[list[WorkItem]],
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
            runner.info.fingerprint,
            on_written=progress.add_results,
            run_started_at=run.started_at,
            new_index=new_index,
            attempts={} if new_index else manifest.attempts(),
        ) as writer:
            progress.begin()
            progress.advance()
            for results in runner.run(items):
                writer.add(results)
                progress.advance()
                for result in results:
                    if isinstance(result, Failure):
                        _log.warning("%s: %s", result.stage, result.message)
        _log.info("%s", progress.describe())
        manifest.compact()

    def _open_runner(self, note: Note, early: Iterator[list[WorkItem]]) -> tuple[Runner, Path]:
        """The runner and its log file; models are loaded unless they are already.

        `early` are images of which the first may be read meanwhile.
        """
        if self._runner is None or self._log is None:
            home = IndexHome.current(self._settings)
            self._log = self._held.enter_context(job_log(home.log_folder))
            opened = open_runner(self._recipe, self._settings.runner, self._log, note, early)
            self._runner = self._held.enter_context(opened)
        return self._runner, self._log

    def _add_masks(self, images: Iterator[list[ImageRef]]) -> Iterator[list[WorkItem]]:
        for refs in images:
            yield [WorkItem(ref, self._masks.get(image_id(ref))) for ref in refs]

    def _leave_out(
        self, listed: Iterator[list[ImageRef]], finished: FinishedImages, progress: Progress
    ) -> Iterator[list[ImageRef]]:
        """Chunks of what is listed and not finished."""
        runner, ahead = self._settings.runner, deque[ImageRef]()
        all_taken = False
        while True:
            # A little for every chunk: nobody is to wait until all that is listed ahead is there.
            enough = min(LIST_AHEAD, len(ahead) + LISTED_AT_ONCE)
            while len(ahead) < enough and not all_taken:
                refs = next(listed, None)
                all_taken = refs is None
                done = finished.has(refs or ())
                progress.add_unchanged(sum(done))
                ahead += (ref for ref, skip in zip(refs or (), done, strict=True) if not skip)
            if not ahead:
                return
            size = min(runner.batch_size, len(ahead))
            if all_taken:
                size = last_chunk_size(len(ahead), size, runner.workers)
            yield [ahead.popleft() for _ in range(size)]

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


def _begin_manifest(home: IndexHome) -> None:
    """Move the manifest of an index that is gone out of the way of the new one's."""
    if not home.parts.sizes():
        return
    if home.index.state is not None:
        raise UsageError(
            f"there is no index at {home.index.location}, but images of one are recorded in "
            f"{home.parts.place}: choose another state, or remove that one"
        )
    home.parts.set_aside()


def _count_listed(listing: Listing, progress: Progress) -> Iterator[list[ImageRef]]:
    for refs in listing:
        progress.add_listed(len(refs))
        yield refs
    progress.end_listing()
