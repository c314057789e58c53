"""The demo's scenes in an index, embedded and labelled by its models, within seconds.

Their masks are those of the truth: to find them all takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.demo.bucket import write_bucket
from pipeline.search.source_images import query_image
from pipeline.settings import Settings
from schemas.coco import CocoAnnotation, CocoImage, CocoTruth
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions, IndexOptions, LabelOptions
from workers.embedders.embed_objects import embed_segmented
from workers.indexes.open import open_index
from workers.labelling.labeller import build_labeller, label_image
from workers.registry import build_embedder

_LEAST_VISIBLE = 0.3


def build_demo(
    folder: Path,
    scenes: int,
    seed: int = 11,
    change: Callable[[list[ObjectMask]], list[ObjectMask]] = list,
) -> tuple[Settings, CocoTruth]:
    """Scenes in `folder`/scenes and their index in `folder`/index; `change` the masks of each."""
    truth = write_bucket(folder, scenes, seed)
    options = EmbedderOptions()
    embedder = build_embedder(options)
    labeller = build_labeller(LabelOptions(), options, folder / "cache" / "models")
    settings = Settings(index=IndexOptions(location=str(folder / "index")))
    with closing(open_index(settings.index, embedder.dim, create=True)) as index:
        for scene in truth.images:
            image = query_image(str(folder / scene.file_name), settings)
            masks = [
                mask_of(rle_of(annotation, scene))
                for annotation in truth.annotations
                if annotation.image_id == scene.id and annotation.visible_fraction > _LEAST_VISIBLE
            ]
            (embedded,) = embed_segmented(
                [image], [change(masks)], embedder, options, "demo", "sam_demo"
            )
            index.replace_images([label_image(embedded, labeller)])
    return settings, truth


def rle_of(annotation: CocoAnnotation, image: CocoImage) -> CocoRle:
    """The mask of an annotation of the demo's."""
    return annotation.to_rle(image.size_hw)


def mask_of(rle: CocoRle) -> ObjectMask:
    """The object that a mask shows."""
    inside = rle.decode()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return ObjectMask(rle, box, int(inside.sum()), 0.95, 0.97, middle)


def add_parts(masks: list[ObjectMask]) -> list[ObjectMask]:
    """With the left half of the largest as its part, and the upper half of that as a part of it.

    A segmenter that knows classes is 90% sure that the largest is a "big thing".
    """
    whole = max(masks, key=lambda mask: mask.area_px)
    inside = whole.rle.decode()
    inside[:, sum(whole.bbox_xyxy[::2]) // 2 :] = False
    part = mask_of(CocoRle.from_mask(inside))
    inside[sum(part.bbox_xyxy[1::2]) // 2 :] = False
    named = replace(whole, segmenter_label="big thing", segmenter_score=0.9)
    others = [mask for mask in masks if mask is not whole]
    return [*others, named, part, mask_of(CocoRle.from_mask(inside))]
