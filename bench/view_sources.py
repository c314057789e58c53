"""Embeds the objects that segmenters find in scenes, as settings cut them; keeps the vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.kept_scenes import KeptScenes
from bench.view_scores import Gallery, fill_box
from schemas.ids import fingerprint
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions
from schemas.records import Float32Matrix
from workers.embedders.clip_embedder import ClipEmbedder
from workers.embedders.embed_objects import embed_masks, unit_mean

SEGMENTERS = "sam_demo", "maskrcnn_demo"
DEFAULT = EmbedderOptions(device="cpu", precision="fp32")


def vary(**changes: object) -> EmbedderOptions:
    """The default with changes. Raises pydantic's ValidationError for those that do not fit."""
    return EmbedderOptions.model_validate({**DEFAULT.model_dump(), **changes})


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Vectors of objects, float32 (n, dim), and the CPU seconds that all of them took."""

    vectors: Float32Matrix
    cpu_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Objects of every scene, as one segmenter or the truth has them."""

    name: str
    scenes: KeptScenes
    found: Sequence[Sequence[ObjectMask]]
    boxes: bool = False

    def build_gallery(self) -> Gallery:
        """What each of them shows."""
        return Gallery.of(self.scenes.truth, self.found, boxes=self.boxes)

    def fill_boxes(self) -> Source:
        """The boxes of these masks in their place."""
        filled = [[_measure(fill_box(mask.rle)) for mask in masks] for masks in self.found]
        return Source(f"{self.name}-boxes", self.scenes, filled, boxes=True)

    def embed(self, embedder: ClipEmbedder, options: EmbedderOptions) -> Embedded:
        """Vectors of all objects; what was embedded before is read."""
        if options.views == "both":
            parts = [self.embed(embedder, single) for single in _split(options)]
            views = np.stack([part.vectors for part in parts], axis=1)
            cpu_s = sum(part.cpu_s for part in parts)
            return Embedded(unit_mean(views, options.view_weights), cpu_s)
        recipe = {
            **options.crop_recipe,
            "embedder": embedder.fingerprint,
            "scenes": [len(masks) for masks in self.found],
        }
        file = self.scenes.folder / f"vectors-{self.name}-{fingerprint(recipe)}.npz"
        if not file.exists():
            embedded = self._embed_all(embedder, options)
            np.savez(file, vectors=embedded.vectors, cpu_s=embedded.cpu_s)
        with np.load(file) as kept:
            return Embedded(kept["vectors"], float(kept["cpu_s"]))

    def _embed_all(self, embedder: ClipEmbedder, options: EmbedderOptions) -> Embedded:
        parts, cpu_s = [], 0.0
        for image, masks in zip(self.scenes.truth.images, self.found, strict=True):
            pixels, began = self.scenes.read(image), time.process_time()
            parts.append(embed_masks(pixels, masks, embedder, options))
            cpu_s += time.process_time() - began
        return Embedded(np.concatenate(parts), cpu_s)


def _split(options: EmbedderOptions) -> Iterator[EmbedderOptions]:
    """The views of both, one by one."""
    for views in ("context", "cutout"):
        left = {"cutout_weight"} | ({"cutout_background"} if views == "context" else set())
        yield vary(**{**options.model_dump(exclude=left), "views": views})


def _measure(rle: CocoRle) -> ObjectMask:
    mask = ObjectMask.measure(rle)
    assert mask is not None
    return mask


def list_sources(scenes: KeptScenes) -> list[Source]:
    """What segmenters find in scenes, and what is there."""
    size_of = {image.id: image.size_hw for image in scenes.truth.images}
    masks_of: dict[object, list[ObjectMask]] = {number: [] for number in size_of}
    for item in scenes.truth.annotations:
        masks_of[item.image_id].append(_measure(item.to_rle(size_of[item.image_id])))
    found = [Source(name, scenes, list(scenes.find_masks(name))) for name in SEGMENTERS]
    return [*found, Source("true", scenes, list(masks_of.values()))]
