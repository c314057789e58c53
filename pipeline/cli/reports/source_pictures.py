"""Reads the images that objects are shown in, wherever they are told to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.evaluation.masks.found_masks import locate
from pipeline.ingestion.image_places import locate_image
from pipeline.settings import Settings
from schemas.coco import CocoId, CocoImage
from schemas.errors import ObjseekError, UsageError
from schemas.images import Failure, ImageRef, UInt8Image
from workers.read_images import read_images
from workers.stores.open import build_store, find

UNTOLD = "nobody says where it is"


def check_images_place(images: str, settings: Settings) -> None:
    """Raise UsageError unless images can be in this place: a folder, or `s3://bucket/prefix`."""
    build_store(images, settings.store)
    if not images.startswith("s3://") and not Path(images).expanduser().is_dir():
        raise UsageError(f"--images: expected a folder or s3://bucket/prefix, got {images!r}")


@dataclass(frozen=True)
class SourcePictures:
    """Images below `images`, else where one of `sources` says, else where the truth does.

    `sources` are by the ids of images in the truth.
    """

    images: str | None
    sources: Sequence[Mapping[CocoId, ImageRef]]
    settings: Settings

    def locate(self, image: CocoImage) -> ImageRef | None:
        """Where an image is; None if nobody says."""
        if self.images is not None:
            return locate_image(image.file_name, None, "", self.images)
        told = (source[image.id] for source in self.sources if image.id in source)
        return next(told, None) or locate(image)

    def read(self, image: CocoImage) -> UInt8Image | str:
        """Its pixels, uint8 (height, width, 3), or why there are none."""
        ref = self.locate(image)
        if ref is None:
            return UNTOLD
        try:
            now = find(ref, self.settings.store)
        except ObjseekError as exc:
            return str(exc)
        if now is None:
            return f"there is no image at {ref.uri}"
        ref = replace(now, version=ref.version or now.version)
        (result,) = read_images([ref], self.settings.store, self.settings.decode, 1)
        if isinstance(result, Failure):
            return result.message
        if result.size_hw != image.size_hw:
            height, width = result.size_hw
            return f"it has {width} x {height} pixels, not {image.width} x {image.height}"
        return result.pixels
