"""Embed an index again without segmenting: a new generation beside the one in use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from pipeline.index_home import at, current, use
from pipeline.ingestion.log_file import job_log
from pipeline.ingestion.session import LISTED_AT_ONCE, index_exists
from pipeline.ingestion.stored_masks import with_masks
from pipeline.ingestion.writer import Writer
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.manifest.manifest import Manifest, manifest_folder, open_manifest, parts_of
from pipeline.messages import quantify
from pipeline.progress import Counts, Progress
from pipeline.runners.open import open_runner
from pipeline.runners.recipe import GivenMasks, Recipe, Result, recipe_of
from pipeline.settings import Settings
from schemas.errors import IndexMissingError, UsageError, VectorIndexError
from schemas.ids import ImageRevision, image_id
from schemas.images import Failure, ImageRef
from schemas.manifest import ManifestRow, State
from schemas.pipelines import Pipeline
from workers.batching import batched
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

_NAME_LENGTH, _HASH_LENGTH = 40, 8


@dataclass(frozen=True, slots=True)
class ReembedSummary:
    """What a run came to.

    `generation` is the new one, at `location`, `before` the one that was in use. `failed` images
    keep the new one from coming into use; `switched` tells whether it did.
    """

    counts: Counts
    seconds: float
    generation: str
    location: str
    before: str
    failed: int
    switched: bool

    @property
    def why_not(self) -> str:
        """What to say if it did not."""
        return (
            f"{quantify(self.failed, 'image')} could not be embedded, so {self.before} stays in "
            f"use: `objseek failures --index {self.location}` tells why, another run tries them "
            "again, --force does without them"
        )


def reembed(
    settings: Settings,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
    index: VectorIndex | None = None,
    *,
    force: bool = False,
) -> ReembedSummary:
    """Embed the stored masks of all images with the embedder of `settings`, and switch over.

    A run that is interrupted goes on where it was. The generation in use stays so until all that
    it has is in the new one, and is kept until it is dropped. Images that have changed since are
    recorded as failed, for the next ingest; those that fail otherwise keep the new generation from
    coming into use, unless `force`. `index` is the one in use, if it is open here already. Raises
    UsageError if nothing would change, and what `ingest` raises.
    """
    progress = progress or Progress()
    recipe = recipe or recipe_of(settings, os.environ.get("OBJSEEK_CACHE_DIR"))
    with progress:
        return _Reembed(settings, recipe, progress, index).run(force=force)


def generation_name(pipeline: Pipeline) -> str:
    """A name for people, with what tells it from those of other parameters."""
    named = re.sub(r"[^a-z0-9]+", "-", pipeline.embedder.lower()).strip("-")
    return f"{named[-_NAME_LENGTH:]}-{pipeline.embedding[:_HASH_LENGTH]}"


class _Reembed:
    def __init__(
        self, settings: Settings, recipe: Recipe, progress: Progress, index: VectorIndex | None
    ) -> None:
        self._settings, self._recipe, self._progress = settings, recipe, progress
        self._index = index
        self._started_at = datetime.now(UTC)
        self._before = current(settings)
        self._old = at(settings, self._before)
        self._manifest = open_manifest(self._old.index, self._old.store)
        # The pipelines of the new generation, by the fingerprints of those in the one before.
        self._pipelines: dict[str, Pipeline] = {}
        # What failed in this run is not tried again in it; by image id and version.
        self._failed: dict[tuple[str, str], Failure] = {}

    def run(self, *, force: bool) -> ReembedSummary:
        counts, location = self._progress.counts, self._settings.index.location
        self._progress.note("looking at what there is")
        if not self._manifest.exists():
            raise IndexMissingError(
                f"expected an index at {location!r}, nothing was ingested there"
            )
        if self._index is None:
            index_exists(self._old.index)  # one that is in use is told before models are loaded
        counts.listing.listed, counts.all_listed = sum(self._manifest.counts().values()), True
        switched = False
        while not switched:
            new = self._embed_what_is_left()
            blocking = sum(_is_blocking(failure) for failure in self._failed.values())
            if blocking and not force:
                break
            switched = self._switch(new)
        counts.unchanged = max(0, counts.listed - counts.handled)
        return ReembedSummary(
            counts, self._progress.seconds, self._name(), new.index.location, self._before,
            blocking, switched,
        )  # fmt: skip

    def _embed_what_is_left(self) -> Settings:
        """Once over all images; the settings of the new generation."""
        known = KnownPipelines(parts_of(self._old.index, self._old.store))
        found = {one: known.look_up(one) for one in sorted(self._manifest.fingerprints())}
        if not found:
            raise UsageError(f"there are no images in {self._settings.index.location} to embed")
        for fingerprint, pipeline in found.items():
            if pipeline is None:
                raise UsageError(
                    f"what has made some of the images in {self._settings.index.location} is not "
                    f"known ({fingerprint}): ingest one more with the settings of that time first"
                )
            self._embed(pipeline, alone=len(found) == 1)
        return at(self._settings, self._name())

    def _embed(self, before: Pipeline, *, alone: bool) -> None:
        settings, note = self._settings, self._progress.note
        segmenter = partial(GivenMasks, before.segmenter, before.segmenter_fingerprint)
        recipe = replace(self._recipe, segmenter=segmenter)
        with (
            job_log(manifest_folder(self._settings.index.location)) as log,
            # Ray first: nothing may be forked while a shard is open.
            open_runner(recipe, settings.runner, log, note, iter(())) as runner,
            self._opened() as old,
        ):
            pipeline = runner.info.pipeline
            self._pipelines[before.fingerprint] = pipeline
            new = at(settings, self._name())
            if new == self._old or (alone and pipeline.fingerprint == before.fingerprint):
                raise UsageError(
                    f"expected another embedder than that of the generation in use: {self._before} "
                    f"has the vectors of {pipeline.embedder} already"
                )
            manifest = open_manifest(new.index, new.store)
            KnownPipelines(parts_of(new.index, new.store)).describe(pipeline)
            with (
                closing(open_index(new.index, runner.info.dim, create=True)) as index,
                Writer(
                    index, manifest, pipeline.fingerprint, self._progress.counts,
                    run_started_at=self._started_at, attempts=manifest.attempts(),
                ) as writer,
            ):  # fmt: skip
                self._progress.begin()
                chunks = self._chunks(before.fingerprint, manifest, old, writer)
                for results in runner.run(chunks):
                    self._take(results, writer)
            manifest.compact()

    def _take(self, results: Sequence[Result], writer: Writer) -> None:
        writer.add(results)
        for one in results:
            if isinstance(one, Failure):
                self._failed[str(image_id(one.ref)), one.ref.version] = one
        self._progress.advance()

    def _chunks(
        self, fingerprint: str, manifest: Manifest, old: VectorIndex, writer: Writer
    ) -> Iterator[list[ImageRef]]:
        left = self._left(fingerprint, manifest)
        for rows in batched(left, self._settings.runner.batch_size):
            images, failures = with_masks(rows, old)
            self._take(failures, writer)
            if images:
                yield list(images)

    def _left(self, fingerprint: str, manifest: Manifest) -> Iterator[ManifestRow]:
        """Images of a pipeline that the new generation, of that manifest, does not have."""
        finished = manifest.finished_images(self._pipelines[fingerprint].fingerprint)
        rows = (
            row
            for row in self._manifest.latest()
            if row.state is State.DONE
            and row.fingerprint == fingerprint
            and (row.image_id, row.version) not in self._failed
        )
        for some in batched(rows, LISTED_AT_ONCE):
            refs = [ImageRef.from_uri(row.uri, row.version, row.size_bytes) for row in some]
            there = finished.has(refs)
            self._progress.counts.unchanged += sum(there)
            yield from (row for row, done in zip(some, there, strict=True) if not done)

    def _switch(self, new: Settings) -> bool:
        """Have the new generation used, unless more has come into the one before meanwhile."""
        manifest = open_manifest(new.index, new.store)
        # A folder is held: nobody writes to it from here on.
        with self._opened(), closing(open_index(new.index, None)) as index:
            if not self._manifest.fingerprints() <= self._pipelines.keys():
                return False
            if any(next(self._left(one, manifest), None) for one in self._pipelines):
                return False
            self._carry(manifest, index)
            expected = sum(row.objects + 1 for row in manifest.latest() if row.state is State.DONE)
            if index.count() != expected:
                raise VectorIndexError(
                    f"expected {expected:,} points in the new generation, got {index.count():,}: "
                    f"`objseek verify --repair --index {new.index.location}` tells which"
                )
            use(self._settings, self._name())
        return True

    def _carry(self, manifest: Manifest, index: VectorIndex) -> None:
        """What is recorded of images that are not done holds in the new generation too."""
        anyone = next(iter(self._pipelines.values()))
        for rows in batched(self._manifest.failures(), LISTED_AT_ONCE):
            index.delete_images([UUID(row.image_id) for row in rows], self._started_at)
            for row in rows:
                fingerprint = self._pipelines.get(row.fingerprint, anyone).fingerprint
                generation = ImageRevision(row.version, fingerprint).id
                manifest.append([replace(row, fingerprint=fingerprint, generation=generation)])
        manifest.compact()

    def _name(self) -> str:
        return generation_name(next(iter(self._pipelines.values())))

    @contextmanager
    def _opened(self) -> Iterator[VectorIndex]:
        if self._index is not None:
            yield self._index
            return
        with closing(open_index(self._old.index, None)) as index:
            yield index


def _is_blocking(failure: Failure) -> bool:
    # Of the others the generation in use is outdated too: the next ingest or sync handles them.
    return not (failure.rejected or failure.gone or failure.changed)
