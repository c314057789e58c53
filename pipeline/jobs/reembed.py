"""Embeds an index again without segmenting: a new generation beside the one in use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from pipeline.index_home import IndexHome, use_generation
from pipeline.ingestion.listing import LISTED_AT_ONCE
from pipeline.ingestion.log_file import job_log
from pipeline.ingestion.precision import settle_precision
from pipeline.ingestion.stored_masks import read_stored_masks
from pipeline.ingestion.writer import Writer
from pipeline.jobs.carried_tags import carry_tags
from pipeline.jobs.reembedded_videos import ReembeddedVideos
from pipeline.kept_paces import note_pace
from pipeline.manifest.expected_points import added_ids, count_points, row_key
from pipeline.manifest.manifest import Manifest
from pipeline.messages import quantify
from pipeline.observing.observe import observe
from pipeline.progress import Progress
from pipeline.runners.base import Runner
from pipeline.runners.open import open_runner
from pipeline.runners.recipe import Recipe, build_recipe, video_options
from pipeline.runners.stored_masks_segmenter import StoredMasksSegmenter
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import UsageError, VectorIndexError
from schemas.ids import ImageRevision, image_id, revision_by
from schemas.images import Failure
from schemas.manifest import ManifestRow, State
from schemas.options import Precision
from schemas.pipelines import IMPORTED, Pipeline
from schemas.records import Result
from schemas.work import WorkItem, only_final
from workers.batching import batched
from workers.protocols import VectorIndex
from workers.stores.selection import is_video

_NAME_LENGTH, _HASH_LENGTH = 40, 8


@dataclass(frozen=True, slots=True)
class ReembedSummary:
    """What a run came to.

    `generation` is the new one, at `location`, `before` the one that was in use. `failed` images
    keep the new one from coming into use; `switched` tells whether it did.
    """

    counts: IngestCounts
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
    if recipe is None:
        require_change(settings)
    precision = settle_precision(settings, None, progress.warn)
    recipe = recipe or build_recipe(settings.with_precision(precision))
    with progress, observe(settings.observe) as observer:
        progress.tell(observer)
        summary = _Reembed(settings, recipe, precision, progress, index).run(force=force)
    if not summary.counts.videos:  # of which frames are embedded, not objects
        note_pace(settings, reembed_job(settings), summary.counts.objects, summary.seconds)
    return summary


def reembed_job(settings: Settings) -> str:
    """By what name the pace of a run with this embedder is kept."""
    return f"reembed by {settings.embedder.name}"


def generation_name(pipeline: Pipeline) -> str:
    """A name for people, with what tells it from those of other parameters."""
    named = re.sub(r"[^a-z0-9]+", "-", pipeline.embedder.lower()).strip("-")
    return f"{named[-_NAME_LENGTH:]}-{pipeline.embedding[:_HASH_LENGTH]}"


def require_change(settings: Settings) -> None:
    """Raise UsageError if the vectors of `settings` are those in use, as far as that is known.

    It is known without the models where they have run with the same settings before.
    """
    home = IndexHome.current(settings)
    home.require_ingested()
    made_by = [home.pipelines.look_up(name) for name in sorted(home.manifest.fingerprints())]
    known = [pipeline for pipeline in made_by if pipeline is not None]
    if len(known) < len(made_by) or not _are_of_one(known):
        return
    if home.pipelines.find_embedding(settings) == known[0].embedding:
        raise _nothing_changes(home, known[0])


def _are_of_one(pipelines: Sequence[Pipeline]) -> bool:
    """Whether images are done by one of these alone, and videos by the same one."""
    return len({pipeline.for_images().fingerprint for pipeline in pipelines}) == 1


def _nothing_changes(home: IndexHome, pipeline: Pipeline) -> UsageError:
    return UsageError(
        f"expected another embedder than that of the generation in use: {home.generation} has the "
        f"vectors of {pipeline.embedder} already"
    )


class _Reembed:
    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        precision: Precision,
        progress: Progress,
        index: VectorIndex | None,
    ) -> None:
        self._settings, self._recipe, self._progress = settings, recipe, progress
        self._index = index
        self._precision = precision
        self._started_at = datetime.now(UTC)
        self._old = IndexHome.current(settings)
        # The pipelines of the new generation, by the fingerprints of those in the one before.
        self._pipelines: dict[str, Pipeline] = {}
        # What failed in this run is not tried again in it; by image id and version.
        self._failed: dict[tuple[str, str], Failure] = {}

    def run(self, *, force: bool) -> ReembedSummary:
        progress, old = self._progress, self._old
        progress.note("looking at what there is")
        old.require_ingested()
        if self._index is None:
            old.require_usable()
        progress.add_listed(sum(old.manifest.counts().values()))
        progress.end_listing()
        switched = False
        while not switched:
            new = self._embed_what_is_left()
            blocking = sum(_is_blocking(failure) for failure in self._failed.values())
            if blocking and not force:
                break
            switched = self._switch(new)
        # A later look at an image counts it again: what was not handled was there before.
        counts = progress.counts
        unchanged = max(0, counts.listed - counts.handled)
        progress.counts = counts.model_copy(update={"unchanged": unchanged})
        return ReembedSummary(
            progress.counts, progress.seconds, new.generation, new.index.location, old.generation,
            blocking, switched,
        )  # fmt: skip

    def _embed_what_is_left(self) -> IndexHome:
        """Once over all images; the new generation."""
        manifest, known = self._old.manifest, self._old.pipelines
        found = {made_by: known.look_up(made_by) for made_by in sorted(manifest.fingerprints())}
        if not found:
            raise UsageError(f"there are no images in {self._settings.index.location} to embed")
        pipelines = []
        for fingerprint, pipeline in found.items():
            if pipeline is None:
                raise UsageError(
                    f"what has made some of the images in {self._settings.index.location} is not "
                    f"known ({fingerprint}): ingest one more with the settings of that time first"
                )
            if pipeline.segmenter == IMPORTED:
                raise UsageError(
                    f"expected images that an ingest has done, {self._settings.index.location} has "
                    f"imported vectors of {pipeline.embedder}: import those of another model into "
                    "an index of their own"
                )
            pipelines.append(pipeline)
        for pipeline in pipelines:
            self._embed(pipeline, alone=_are_of_one(pipelines))
        return IndexHome.at(self._settings, self._name())

    def _embed(self, before: Pipeline, *, alone: bool) -> None:
        settings, note = self._settings, self._progress.note
        segmenter = partial(StoredMasksSegmenter, before.segmenter, before.segmenter_fingerprint)
        recipe = self._recipe.with_known_masks(segmenter)
        with (
            job_log(self._old.log_folder) as log,
            # Ray first: nothing may be forked while a shard is open.
            open_runner(recipe, settings.runner, log, note, iter(())) as runner,
            self._open_old() as old,
        ):
            pipeline = runner.info.pipeline
            if before.video is not None:
                pipeline = pipeline.for_videos(before.video)
            self._pipelines[before.fingerprint] = pipeline
            new = IndexHome.at(settings, self._name())
            if new == self._old or (alone and pipeline.fingerprint == before.fingerprint):
                raise _nothing_changes(self._old, pipeline)
            self._keep_precision(new)
            new.pipelines.describe(pipeline)
            new.pipelines.remember_embedding(settings, pipeline)
            with (
                new.points(create_for=runner.info.dim) as index,
                Writer(
                    index, new.manifest, revision_by(pipeline.fingerprint),
                    on_written=partial(self._note_written, new.manifest),
                    run_started_at=self._started_at, attempts=new.manifest.attempts(),
                    boxes=self._old.manifest.boxes(), added=self._old.manifest.added,
                    observer=self._progress.observer,
                ) as writer,
            ):  # fmt: skip
                runner.observer = self._progress.observer
                self._progress.begin(runner.throughput)
                if pipeline.video is not None:
                    self._embed_videos(before.fingerprint, pipeline, runner, old, new, writer)
                else:
                    chunks = self._chunks(before.fingerprint, new.manifest, old, writer)
                    for worked in runner.run(chunks):
                        self._take(only_final(worked), writer)
            new.manifest.compact()

    def _embed_videos(
        self,
        fingerprint: str,
        pipeline: Pipeline,
        runner: Runner,
        old: VectorIndex,
        new: IndexHome,
        writer: Writer,
    ) -> None:
        kept, tracks = self._old.manifest.tracks, new.manifest.tracks
        videos = ReembeddedVideos(old, kept, tracks, pipeline)
        left = self._iterate_left(fingerprint, new.manifest)
        for worked in runner.run(videos.items(left, self._settings.runner.batch_size)):
            self._take(videos.take(worked), writer)
        self._take(videos.take([]), writer)

    def _note_written(self, manifest: Manifest, results: Sequence[Result]) -> None:
        """Count results, and record what was added by hand to the images that are done.

        After their points: what ends before that is done again, as the records differ.
        """
        self._progress.add_results(results)
        before, now = self._old.manifest.added.all(), manifest.added.by_image()
        for result in results:
            if isinstance(result, Failure):
                continue
            written = {str(record.object_id) for record in result.added}
            there = now.get(str(image_id(result.ref)), ())
            manifest.added.remove([each for each in there if each.object_id not in written])
            recorded = {each.object_id for each in there}
            manifest.added.add(
                [before[name] for name in sorted(written - recorded) if name in before]
            )

    def _take(self, results: Sequence[Result], writer: Writer) -> None:
        self._progress.add_finished(len(results))
        writer.add(results)
        for result in results:
            if isinstance(result, Failure):
                self._failed[str(image_id(result.ref)), result.ref.version] = result
        self._progress.advance()

    def _chunks(
        self, fingerprint: str, manifest: Manifest, old: VectorIndex, writer: Writer
    ) -> Iterator[list[WorkItem]]:
        left = self._iterate_left(fingerprint, manifest)
        for rows in batched(left, self._settings.runner.batch_size):
            items, failures = read_stored_masks(rows, old)
            self._take(failures, writer)
            added = self._old.manifest.added.by_image()
            items = [replace(item, added=added.get(str(image_id(item.ref)), ())) for item in items]
            if items:
                yield items

    def _iterate_left(self, fingerprint: str, manifest: Manifest) -> Iterator[ManifestRow]:
        """Images of a pipeline that the new generation, of that manifest, does not have.

        Or has without what was added to them by hand, or with what was removed again.
        """
        old_added, new_added = added_ids(self._old.manifest), added_ids(manifest)
        finished = manifest.finished_images(self._pipelines[fingerprint].fingerprint)
        rows = (
            row
            for row in self._old.manifest.latest()
            if row.state is State.DONE
            and row.fingerprint == fingerprint
            and (row.image_id, row.version) not in self._failed
        )
        for batch in batched(rows, LISTED_AT_ONCE):
            there = [
                done and old_added.get(row_key(row)) == new_added.get(row_key(row))
                for row, done in zip(batch, finished.has([row.ref for row in batch]), strict=True)
            ]
            self._progress.add_unchanged(sum(there))
            yield from (row for row, done in zip(batch, there, strict=True) if not done)

    def _keep_precision(self, new: IndexHome) -> None:
        """Masks stay in what they were found in. Raises UsageError if vectors would not."""
        begun, old = new.pipelines.precision(), self._old.pipelines.precision()
        wanted = self._precision.embedder
        if begun is not None and begun.embedder != wanted:
            raise UsageError(
                f"expected to go on in {begun.embedder}, in which the generation {new.generation} "
                f"was begun, got {wanted}: go on with --precision {begun.embedder}"
            )
        segmenter = old.segmenter if old else self._precision.segmenter
        new.pipelines.keep_precision(Precision(segmenter=segmenter, embedder=wanted))

    def _switch(self, new: IndexHome) -> bool:
        """Have the new generation used, unless more has come into the one before meanwhile."""
        manifest = new.manifest
        # A folder is held: nobody writes to it from here on.
        with self._open_old() as old, new.points() as index:
            if not self._old.manifest.fingerprints() <= self._pipelines.keys():
                return False
            if any(
                next(self._iterate_left(made_by, manifest), None) for made_by in self._pipelines
            ):
                return False
            self._carry(manifest, index)
            carry_tags(old, index)
            expected = count_points(manifest)
            if index.count() != expected:
                raise VectorIndexError(
                    f"expected {expected:,} points in the new generation, got {index.count():,}: "
                    f"`objseek verify --repair --index {new.index.location}` tells which"
                )
            use_generation(self._settings, new.generation)
            # What was added at the last moment: as missing objects, `verify` brings them.
            self._old.manifest.added.copy_to(manifest.added)
            carry_tags(old, index)
        return True

    def _carry(self, manifest: Manifest, index: VectorIndex) -> None:
        """What is recorded of images that are not done holds in the new generation too."""
        self._old.manifest.added.mirror_to(manifest.added)
        for rows in batched(self._old.manifest.failures(), LISTED_AT_ONCE):
            index.delete_images([UUID(row.image_id) for row in rows], self._started_at)
            for row in rows:
                fingerprint = self._find_pipeline(row).fingerprint
                generation = ImageRevision(row.version, fingerprint).id
                manifest.append([replace(row, fingerprint=fingerprint, generation=generation)])
        manifest.compact()

    def _find_pipeline(self, row: ManifestRow) -> Pipeline:
        """The new pipeline of an image that is not done, or of what may be a video."""
        if row.fingerprint in self._pipelines:
            return self._pipelines[row.fingerprint]
        anyone = next(iter(self._pipelines.values()))
        if is_video(row.ref.key, self._settings.store):
            return anyone.for_videos(video_options(self._settings))
        return anyone.for_images()

    def _name(self) -> str:
        return generation_name(next(iter(self._pipelines.values())))

    @contextmanager
    def _open_old(self) -> Iterator[VectorIndex]:
        if self._index is not None:
            yield self._index
            return
        with self._old.points() as index:
            yield index


def _is_blocking(failure: Failure) -> bool:
    # Of the others the generation in use is outdated too: the next ingest or sync handles them.
    return not (failure.rejected or failure.gone or failure.changed)
