"""Imports the masks of a COCO file into an index: embedded without being segmented."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipeline.index_home import IndexHome
from pipeline.ingestion.image_places import locate_image
from pipeline.ingestion.listing import LISTED_AT_ONCE
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.ingest import IngestSummary
from pipeline.kept_paces import KeptPace, find_pace, note_pace
from pipeline.messages import quantify
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_no_matcher, build_recipe
from pipeline.runners.stored_masks_segmenter import StoredMasksSegmenter
from pipeline.settings import Settings
from pipeline.transfer.coco_file import group_masks
from pipeline.transfer.imported_tags import give_tags
from schemas.coco import BadAnnotation, CocoImage, CocoMasks, join_images
from schemas.coco_reader import load_masks
from schemas.errors import DatasetError, UsageError
from schemas.ids import fingerprint, image_id
from schemas.images import ImageRef
from workers.batching import batched
from workers.stores.open import find
from workers.stores.selection import is_video

_NAME = "coco"


@dataclass(frozen=True, slots=True)
class CocoImport:
    """What a run came to, and the annotations that were left out of it as they are wrong."""

    run: IngestSummary
    left_out: Sequence[BadAnnotation]


@dataclass(frozen=True, slots=True)
class CocoForecast:
    """What an import of a file would embed, and the annotations that it would leave out.

    `pace` is that of the last such import on this machine.
    """

    images: int
    masks: int
    left_out: Sequence[BadAnnotation]
    pace: KeptPace | None


def forecast_coco(
    settings: Settings,
    path: Path,
    images: str | None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> CocoForecast:
    """What `import_coco` of a file would do. No image is looked at, and nothing is written.

    Raises UsageError and DatasetError as `import_coco` does.
    """
    document = _read(settings, path, images, progress or Progress(), strict=strict)
    return CocoForecast(
        len(document.images),
        len(document.annotations),
        document.left_out,
        find_pace(settings, _job(settings)),
    )


def import_coco(
    settings: Settings,
    path: Path,
    images: str | None,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
    *,
    strict: bool = False,
) -> CocoImport:
    """Embed the masks of a COCO instances file with the images that they are of, into an index.

    Images are where their `uri` says, else below `images`, a folder or `s3://bucket/prefix`, by
    their `file_name`; entries of one image are joined. What the index has of them is replaced. The
    same file again changes nothing. Objects get the tags of their annotations, beside those that
    they have. Everything in the file is checked before anything is done:
    annotations that are wrong are left out and listed, and so are frames of videos, which only an
    ingest reads; if `strict`, they are refused. Raises UsageError, DatasetError that names the
    annotation, and what `ingest` raises.
    """
    progress, home = progress or Progress(), IndexHome.current(settings)
    document = _read(settings, path, images, progress, strict=strict)
    entries = group_masks(document)
    refs = [_find_image(entry.image, images) for entry in entries]
    contents = {"masks": hashlib.sha256(path.read_bytes()).hexdigest()}
    build_segmenter = partial(StoredMasksSegmenter, _NAME, fingerprint(contents))
    # By its settings a pipeline is known again: these masks are a segmenter of their own.
    segmenter = settings.segmenter.model_copy(
        update={"name": f"{_NAME}-{build_segmenter().fingerprint}"}
    )
    settings = settings.model_copy(update={"segmenter": segmenter})
    masks = {image_id(ref): entry.masks for ref, entry in zip(refs, entries, strict=True)}

    def build(settled: Settings) -> Recipe:
        return replace(
            recipe or build_recipe(settled), segmenter=build_segmenter, matcher=build_no_matcher
        )

    with progress, IngestSession(settings, build, masks=masks) as session:
        log = session.run(_list_versions(refs, settings), home, progress)
    tags = {image_id(ref): entry.tags for ref, entry in zip(refs, entries, strict=True)}
    give_tags({image: of_image for image, of_image in tags.items() if of_image}, settings)
    summary = IngestSummary.of(home, progress, log)
    note_pace(settings, _job(settings), summary.counts.objects, summary.seconds)
    return CocoImport(summary, document.left_out)


def _job(settings: Settings) -> str:
    """By what name the pace of an import is kept."""
    return f"import masks by {settings.embedder.name}"


def _read(
    settings: Settings, path: Path, images: str | None, progress: Progress, *, strict: bool
) -> CocoMasks:
    """The document, each image once, with what can be brought in."""
    document = load_masks(path, strict=strict)
    if not document.images:
        raise UsageError(f"there are no images in {path}")

    def is_frame(image: CocoImage) -> bool:
        return is_video(_find_image(image, images).key, settings.store)

    document = _leave_out_frames(document, is_frame, path, progress, strict=strict)
    return join_images(document, lambda image: image_id(_find_image(image, images)))


def _leave_out_frames(
    document: CocoMasks,
    is_frame: Callable[[CocoImage], bool],
    path: Path,
    progress: Progress,
    *,
    strict: bool,
) -> CocoMasks:
    """The document without what is of videos. Raises DatasetError if `strict`, or if all of it is.

    An index has objects of videos with the times at which they are seen, which single masks lack.
    """
    frames = {image.id for image in document.images if is_frame(image)}
    if not frames:
        return document
    if strict or len(frames) == len(document.images):
        raise DatasetError(f"expected images in {path}, got frames of videos: ingest those")
    progress.warn(
        f"{quantify(len(frames), 'frame')} of videos in {path} left out: an ingest reads videos"
    )
    return document.model_copy(
        update={
            "images": [image for image in document.images if image.id not in frames],
            "annotations": [each for each in document.annotations if each.image_id not in frames],
        }
    )


def _list_versions(refs: Sequence[ImageRef], settings: Settings) -> Iterator[list[ImageRef]]:
    with ThreadPoolExecutor(settings.runner.read_concurrency) as pool:
        for batch in batched(refs, LISTED_AT_ONCE):
            yield list(pool.map(partial(_as_it_is, settings), batch))


def _find_image(image: CocoImage, images: str | None) -> ImageRef:
    return locate_image(image.file_name, image.uri, image.version or "", images)


def _as_it_is(settings: Settings, ref: ImageRef) -> ImageRef:
    """In the version that the file tells, else in that which is there now."""
    now = find(ref, settings.store)
    if now is None:  # found to be gone when it is read
        return ref
    return replace(now, version=ref.version or now.version)
