"""One ingest: list, leave out what is done, spread the work, write, count."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from pipeline.fingerprint import KnownPipelines
from pipeline.finished import FinishedImages
from pipeline.generations import at_current
from pipeline.joblog import job_log
from pipeline.listing import chunks, last_chunk_size
from pipeline.manifest import Manifest, manifest_folder, parts_of
from pipeline.process import Recipe, recipe_of
from pipeline.progress import Counts, Progress
from pipeline.runners import Runner, open_runner
from pipeline.settings import Settings
from pipeline.writer import Writer
from schemas.errors import (
    EmbedderMismatchError,
    IndexMissingError,
    ModelError,
    UsageError,
    VectorIndexError,
)
from schemas.images import Failure, ImageRef
from schemas.options import IndexOptions
from workers.indexes import open_index
from workers.protocols import VectorIndex

_log = logging.getLogger(__name__)
LIST_AHEAD = 10_000
"""Images that are listed before they are needed, so that most runs know how much there is."""
LISTED_AT_ONCE = 500
"""And held against the manifest together: for a few at a time that takes many times as long."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What a run came to. `log` is None if there was nothing to do."""

    counts: Counts
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

    def listing(counts: Counts) -> Iterator[list[ImageRef]]:
        listed = chunks(sources, settings.store, LISTED_AT_ONCE, settings.limit, counts.listing)
        first = next(listed, None)
        if first is None:
            raise UsageError(_no_images(sources, counts))
        return chain([first], listed)

    return ingest_listed(listing, settings, progress, recipe, index)


def ingest_listed(
    listing: Callable[[Counts], Iterator[list[ImageRef]]],
    settings: Settings,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
    index: VectorIndex | None = None,
    *,
    again: bool = False,
) -> IngestSummary:
    """`ingest` of the chunks that `listing` gives and counts; `again`: also what is finished."""
    progress = progress or Progress()
    recipe = recipe or recipe_of(settings, os.environ.get("OBJSEEK_CACHE_DIR"))
    current = at_current(settings)
    with progress:
        log = _Ingest(current, recipe, progress, index, again=again).run(listing)
        progress.counts.check()
    if at_current(settings) != current:
        raise VectorIndexError(
            f"another generation of {settings.index.location} came into use while this ran, and "
            "what was written is in the one before: run the command again"
        )
    return IngestSummary(
        progress.counts, progress.seconds, progress.rate, settings.index.location, log
    )


class _Ingest:
    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        progress: Progress,
        index: VectorIndex | None,
        *,
        again: bool,
    ) -> None:
        self._settings = settings
        self._recipe = recipe
        self._progress = progress
        self._index = index
        self._again = again
        self._started_at = datetime.now(UTC)
        self._counts = progress.counts
        self._folder = manifest_folder(settings.index.location)
        self._parts = parts_of(settings.index, settings.store)
        self._manifest = Manifest(self._parts)
        self._pipelines = KnownPipelines(self._parts)

    def run(self, listing: Callable[[Counts], Iterator[list[ImageRef]]]) -> Path | None:
        """The log file, or None if there was nothing to do."""
        settings = self._settings
        self._progress.note("listing images")
        # Before anything costs time: an index that is in use or broken is told at once.
        exists = self._index is not None or index_exists(settings.index)
        listed = listing(self._counts)
        known = self._pipelines.find(settings) if exists else None
        if known is None:
            return self._run(listed, known, new_index=not exists)
        to_do = self._to_do(listed, self._finished(known))
        start = next(to_do, None)
        if start is None:
            return None
        return self._run(chain([start], to_do), known, new_index=False)

    def _run(self, images: Iterator[list[ImageRef]], known: str | None, *, new_index: bool) -> Path:
        """Work on `images`: what there is to do if the pipeline is `known`, else what is listed."""
        settings, note = self._settings, self._progress.note
        if new_index:
            self._begin_manifest()
            images = self._to_do(images, FinishedImages())
        early = images if new_index or known is not None else iter(())
        with (
            job_log(self._folder) as log,
            # Ray first: nothing may be forked while a shard is open.
            open_runner(self._recipe, settings.runner, log, note, early) as runner,
            self._opened(runner.info.dim) as index,
        ):
            fingerprint = runner.info.fingerprint
            if known != fingerprint:
                self._pipelines.remember(settings, runner.info.pipeline)
            if known not in (None, fingerprint):
                raise ModelError(
                    "the weights of the models have changed in place since the settings last ran "
                    "on this index: run the command again to embed everything anew"
                )
            if known is None and not new_index:
                images = self._to_do(images, self._finished(fingerprint))
            _log.info("%s as %s", settings.index.location, fingerprint)
            attempts = {} if new_index else self._manifest.attempts()
            with Writer(
                index, self._manifest, fingerprint, self._counts,
                run_started_at=self._started_at, new_index=new_index, attempts=attempts,
            ) as writer:  # fmt: skip
                self._work(runner, images, writer)
            _log.info("%s", self._progress.told())
            self._manifest.compact()
        return log

    @contextmanager
    def _opened(self, dim: int) -> Iterator[VectorIndex]:
        if self._index is None:
            with closing(open_index(self._settings.index, dim, create=True)) as index:
                yield index
            return
        if self._index.dim != dim:
            raise EmbedderMismatchError(
                f"the index holds vectors of {self._index.dim} numbers, but the embedder makes "
                f"vectors of {dim}"
            )
        yield self._index

    def _begin_manifest(self) -> None:
        """Take the manifest of an index that is no more out of the way of the new one's."""
        if not self._parts.sizes():
            return
        if self._settings.index.state is not None:
            raise UsageError(
                f"there is no index at {self._settings.index.location}, but images of one are "
                f"recorded in {self._parts.place}: choose another state, or remove that one"
            )
        self._parts.set_aside()

    def _work(self, runner: Runner, images: Iterator[list[ImageRef]], writer: Writer) -> None:
        self._progress.begin()
        self._progress.advance()
        for results in runner.run(images):
            writer.add(results)
            self._progress.advance()
            for result in results:
                if isinstance(result, Failure):
                    _log.warning("%s: %s", result.stage, result.message)

    def _finished(self, fingerprint: str) -> FinishedImages:
        return FinishedImages() if self._again else self._manifest.finished(fingerprint)

    def _to_do(
        self, listed: Iterator[list[ImageRef]], finished: FinishedImages
    ) -> Iterator[list[ImageRef]]:
        """Chunks of what is listed and not finished."""
        runner, counts = self._settings.runner, self._counts
        ahead: deque[ImageRef] = deque()
        while True:
            # A little for every chunk: nobody is to wait until all that is listed ahead is there.
            enough = min(LIST_AHEAD, len(ahead) + LISTED_AT_ONCE)
            while len(ahead) < enough and not counts.all_listed:
                refs = next(listed, None)
                counts.all_listed = refs is None
                for ref, done in zip(refs or (), finished.among(refs or ()), strict=True):
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


def _no_images(sources: Sequence[str], counts: Counts) -> str:
    skipped = ", ".join(
        f"{number:,} as {reason}" for reason, number in sorted(counts.listing.skipped.items())
    )
    return f"no images under {' '.join(sources)}" + (f" (skipped: {skipped})" if skipped else "")
