"""Several ingests into one index, with models that are loaded once, when they are first needed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Self

from pipeline.index_home import at_current
from pipeline.ingestion.listing import last_chunk_size
from pipeline.ingestion.log_file import job_log
from pipeline.ingestion.writer import Writer
from pipeline.manifest.image_keys import FinishedImages
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.manifest.manifest import Manifest, manifest_folder, parts_of
from pipeline.manifest.part_storage import Parts
from pipeline.progress import Counts, Progress
from pipeline.runners.base import Note, Runner
from pipeline.runners.open import open_runner
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import (
    EmbedderMismatchError,
    GenerationChangedError,
    IndexMissingError,
    ModelError,
    UsageError,
)
from schemas.images import Failure, ImageRef
from schemas.options import IndexOptions, RunnerOptions
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

_log = logging.getLogger(__name__)
LIST_AHEAD = 10_000
"""Images that are listed before they are needed, so that most runs know how much there is."""
LISTED_AT_ONCE = 500
"""And held against the manifest together: for a few at a time that takes many times as long."""

Listing = Callable[[Counts], Iterator[list[ImageRef]]]
"""Gives chunks of images, and counts them as they are taken."""


@dataclass(frozen=True)
class _Run:
    """What one ingest of a session has of its own.

    `settings` name the generation of the index that it writes to; `started_at`: UTC, before its
    listing.
    """

    settings: Settings
    progress: Progress
    started_at: datetime
    again: bool

    @property
    def counts(self) -> Counts:
        return self.progress.counts

    @cached_property
    def parts(self) -> Parts:
        return parts_of(self.settings.index, self.settings.store)

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest(self.parts)

    @cached_property
    def pipelines(self) -> KnownPipelines:
        return KnownPipelines(self.parts)

    def finished(self, fingerprint: str) -> FinishedImages:
        return FinishedImages() if self.again else self.manifest.finished_images(fingerprint)


class IngestSession:
    """Ingests, one after the other; the index is open only while images are written.

    `recipe` is what workers are built from; `index` the one that the settings name, if it is open
    here already, and stays so. For one thread.
    """

    def __init__(
        self, settings: Settings, recipe: Recipe, index: VectorIndex | None = None
    ) -> None:
        self._settings = settings
        self._recipe = recipe
        self._index = index
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
        run = _Run(at_current(self._settings), progress, started_at or datetime.now(UTC), again)
        try:
            log = self._run(listing, run)
        except BaseException:
            self.close()
            raise
        progress.counts.check()
        if at_current(self._settings) != run.settings:
            raise GenerationChangedError(
                f"another generation of {self._settings.index.location} came into use while this "
                "ran, and what was written is in the one before: it has to be done again"
            )
        return log

    def _run(self, listing: Listing, run: _Run) -> Path | None:
        settings = run.settings
        run.progress.note("listing images")
        # Before anything costs time: an index that is in use or broken is told at once.
        exists = self._index is not None or index_exists(settings.index)
        images = listing(run.counts)
        known = run.pipelines.find(settings) if exists else None
        if known is not None:
            images = _to_do(images, run.finished(known), settings.runner, run.counts)
        first = next(images, None)
        if first is None:
            return None
        return self._work(chain([first], images), known, run, new_index=not exists)

    def _work(
        self, images: Iterator[list[ImageRef]], known: str | None, run: _Run, *, new_index: bool
    ) -> Path:
        """Work on `images`: what there is to do if the pipeline is `known`, else what is listed."""
        settings = run.settings
        if new_index:
            _begin_manifest(run)
            images = _to_do(images, FinishedImages(), settings.runner, run.counts)
        early = images if new_index or known is not None else iter(())
        # Ray first: nothing may be forked while a shard is open.
        runner, log = self._opened_runner(run.progress.note, early)
        with self._opened_index(settings.index, runner.info.dim) as index:
            fingerprint = runner.info.fingerprint
            if known != fingerprint:
                run.pipelines.remember(settings, runner.info.pipeline)
            if known not in (None, fingerprint):
                raise ModelError(
                    "the weights of the models have changed in place since the settings last ran "
                    "on this index: run the command again to embed everything anew"
                )
            if known is None and not new_index:
                images = _to_do(images, run.finished(fingerprint), settings.runner, run.counts)
            _log.info("%s as %s", settings.index.location, fingerprint)
            attempts = {} if new_index else run.manifest.attempts()
            with Writer(
                index, run.manifest, fingerprint, run.counts,
                run_started_at=run.started_at, new_index=new_index, attempts=attempts,
            ) as writer:  # fmt: skip
                _pass_on(runner, images, writer, run.progress)
            _log.info("%s", run.progress.told())
            run.manifest.compact()
        return log

    def _opened_runner(self, note: Note, early: Iterator[list[ImageRef]]) -> tuple[Runner, Path]:
        """The runner and its log file; models are loaded unless they are already.

        `early` are images of which the first may be read meanwhile.
        """
        if self._runner is None or self._log is None:
            self._log = self._held.enter_context(
                job_log(manifest_folder(self._settings.index.location))
            )
            opened = open_runner(self._recipe, self._settings.runner, self._log, note, early)
            self._runner = self._held.enter_context(opened)
        return self._runner, self._log

    @contextmanager
    def _opened_index(self, options: IndexOptions, dim: int) -> Iterator[VectorIndex]:
        if self._index is None:
            with closing(open_index(options, dim, create=True)) as index:
                yield index
            return
        if self._index.dim != dim:
            raise EmbedderMismatchError(
                f"the index holds vectors of {self._index.dim} numbers, but the embedder makes "
                f"vectors of {dim}"
            )
        yield self._index


def _begin_manifest(run: _Run) -> None:
    """Take the manifest of an index that is no more out of the way of the new one's."""
    if not run.parts.sizes():
        return
    index = run.settings.index
    if index.state is not None:
        raise UsageError(
            f"there is no index at {index.location}, but images of one are recorded in "
            f"{run.parts.place}: choose another state, or remove that one"
        )
    run.parts.set_aside()


def _pass_on(
    runner: Runner, images: Iterator[list[ImageRef]], writer: Writer, progress: Progress
) -> None:
    """From the runner to the writer."""
    progress.begin()
    progress.advance()
    for results in runner.run(images):
        writer.add(results)
        progress.advance()
        for result in results:
            if isinstance(result, Failure):
                _log.warning("%s: %s", result.stage, result.message)


def _to_do(
    listed: Iterator[list[ImageRef]],
    finished: FinishedImages,
    runner: RunnerOptions,
    counts: Counts,
) -> Iterator[list[ImageRef]]:
    """Chunks of what is listed and not finished."""
    ahead: deque[ImageRef] = deque()
    while True:
        # A little for every chunk: nobody is to wait until all that is listed ahead is there.
        enough = min(LIST_AHEAD, len(ahead) + LISTED_AT_ONCE)
        while len(ahead) < enough and not counts.all_listed:
            refs = next(listed, None)
            counts.all_listed = refs is None
            for ref, done in zip(refs or (), finished.has(refs or ()), strict=True):
                if done:
                    counts.unchanged += 1
                else:
                    ahead.append(ref)
        if not ahead:
            return
        size = min(runner.batch_size, len(ahead))
        if counts.all_listed:
            size = last_chunk_size(len(ahead), size, runner.workers)
        yield [ahead.popleft() for _ in range(size)]


def index_exists(options: IndexOptions) -> bool:
    """Whether there is an index. Raises IndexBusyError, and what else keeps it from being used."""
    try:
        open_index(options, None).close()
    except IndexMissingError:
        return False
    return True
