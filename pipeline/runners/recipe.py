"""The recipe that workers are built from: plain values that travel to other processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.settings import Settings
from schemas.errors import VectorIndexError
from schemas.images import DecodedImage, Failure, ImageRef
from schemas.masks import ObjectMask, SegmentedImage
from schemas.options import DecodeOptions, EmbedderOptions
from schemas.records import EmbeddedImage
from workers.images.read import read_images
from workers.labelling.labeller import Labeller, build_labeller
from workers.protocols import ImageEmbedder, Segmenter
from workers.registry import build_image_embedder, build_segmenter

Decoded = DecodedImage | Failure

Result = EmbeddedImage | Failure


def no_labels() -> None:
    """The labeller of those who want none."""


@dataclass(frozen=True, slots=True)
class GivenMasks:
    """Stands for the segmenter that has found the masks which images bring along."""

    name: str
    fingerprint: str

    def masks_of(self, image: DecodedImage) -> list[ObjectMask]:
        """Raises VectorIndexError for masks of an image of another size."""
        masks = image.ref.masks if isinstance(image.ref, SegmentedImage) else ()
        for mask in masks:
            if mask.rle.size_hw != image.size_hw:
                raise VectorIndexError(
                    f"expected masks of {image.size_hw} pixels, got one of {mask.rle.size_hw} "
                    f"({image.ref.uri})"
                )
        return list(masks)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What workers are built from: plain values and importable functions, so that it travels.

    `reader` fetches and decodes: one result per ref, in their order; `decode` and `embedding` are
    the options that it and the crops are made with. `threads` is how many CPU threads torch may use
    in a worker; None leaves it to torch.
    """

    segmenter: Callable[[], Segmenter | GivenMasks]
    embedder: Callable[[], ImageEmbedder]
    reader: Callable[[Sequence[ImageRef]], list[Decoded]]
    decode: DecodeOptions
    embedding: EmbedderOptions
    threads: int | None = None
    labeller: Callable[[], Labeller | None] = no_labels


def recipe_of(settings: Settings) -> Recipe:
    """The recipe that `settings` ask for."""
    runner = settings.runner
    return Recipe(
        segmenter=partial(build_segmenter, settings.segmenter, settings.cache_dir),
        embedder=partial(build_image_embedder, settings.embedder),
        reader=partial(
            read_images,
            store_options=settings.store,
            decode_options=settings.decode,
            concurrency=runner.read_concurrency,
        ),
        decode=settings.decode,
        embedding=settings.embedder,
        threads=max(1, int(runner.cpus_per_worker)) if runner.name == "ray" else None,
        labeller=partial(build_labeller, settings.labels, settings.embedder, settings.cache_dir),
    )
