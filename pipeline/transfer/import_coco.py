"""Imports the masks of a COCO file into an index: embedded without being segmented."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import LISTED_AT_ONCE
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.ingest import IngestSummary
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_recipe
from pipeline.runners.stored_masks_segmenter import StoredMasksSegmenter
from pipeline.settings import Settings
from pipeline.transfer.coco_file import CocoImageMasks, read_coco
from schemas.errors import UsageError
from schemas.ids import fingerprint, image_id
from schemas.images import ImageRef, split_s3_uri
from workers.batching import batched
from workers.stores.open import find

_NAME = "coco"


def import_coco(
    settings: Settings,
    path: Path,
    images: str | None,
    progress: Progress | None = None,
    recipe: Recipe | None = None,
) -> IngestSummary:
    """Embed the masks of a COCO instances file with the images that they are of, into an index.

    Images are where their `uri` says, else below `images`, a folder or `s3://bucket/prefix`, by
    their `file_name`. What the index has of them is replaced. The same file again changes nothing.
    Everything in the file is checked before anything is done. Raises UsageError, DatasetError that
    names the annotation, and what `ingest` raises.
    """
    entries = read_coco(path)
    refs = [_ref(entry, images) for entry in entries]
    if not refs:
        raise UsageError(f"there are no images in {path}")
    contents = {"masks": hashlib.sha256(path.read_bytes()).hexdigest()}
    build_segmenter = partial(StoredMasksSegmenter, _NAME, fingerprint(contents))
    # By its settings a pipeline is known again: these masks are a segmenter of their own.
    segmenter = settings.segmenter.model_copy(
        update={"name": f"{_NAME}-{build_segmenter().fingerprint}"}
    )
    settings = settings.model_copy(update={"segmenter": segmenter})
    masks = {image_id(ref): entry.masks for ref, entry in zip(refs, entries, strict=True)}
    progress, home = progress or Progress(), IndexHome.current(settings)
    recipe = replace(recipe or build_recipe(settings), segmenter=build_segmenter)
    with progress, IngestSession(settings, recipe, masks=masks) as session:
        log = session.run(_list_versions(refs, settings), home, progress)
    return IngestSummary.of(home, progress, log)


def _list_versions(refs: Sequence[ImageRef], settings: Settings) -> Iterator[list[ImageRef]]:
    with ThreadPoolExecutor(settings.runner.read_concurrency) as pool:
        for batch in batched(refs, LISTED_AT_ONCE):
            yield list(pool.map(partial(_as_it_is, settings), batch))


def _ref(entry: CocoImageMasks, images: str | None) -> ImageRef:
    if entry.uri is not None:
        try:
            return ImageRef.from_uri(entry.uri, entry.version or "", 0)
        except ValueError as exc:
            raise UsageError(f"image {entry.file_name!r}: {exc}") from exc
    if images is None:
        raise UsageError(
            f"expected where the image {entry.file_name!r} is, the file does not say: "
            "name its folder or s3://bucket/prefix with --images"
        )
    if images.startswith("s3://"):
        bucket, prefix = split_s3_uri(images)
        prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        return ImageRef("s3", bucket, prefix + entry.file_name, version="", size_bytes=0)
    key = os.path.abspath(Path(images).expanduser() / entry.file_name)
    return ImageRef("file", "", key, version="", size_bytes=0)


def _as_it_is(settings: Settings, ref: ImageRef) -> ImageRef:
    """In the version that the file tells, else in that which is there now."""
    now = find(ref, settings.store)
    if now is None:  # found to be gone when it is read
        return ref
    return replace(now, version=ref.version or now.version)
