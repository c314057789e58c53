"""Embeds the objects of segmented images: crops are cut beside the model that embeds them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from schemas.added import AddedObject
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import DecodedImage, UInt8Image
from schemas.masks import ObjectMask
from schemas.nesting import Level, find_levels, find_parent, find_parents, level_below
from schemas.options import EmbedderOptions
from schemas.records import (
    VECTOR_NAME,
    EmbeddedImage,
    Float32Matrix,
    Float32Vector,
    ImageRecord,
    ObjectRecord,
)
from workers.images.crops import object_views, square_image
from workers.protocols import CROPS_AT_ONCE, ImageEmbedder


def embed_segmented(
    images: Sequence[DecodedImage],
    masks: Sequence[Sequence[ObjectMask]],
    embedder: ImageEmbedder,
    options: EmbedderOptions,
    fingerprint: str,
    segmenter_name: str,
) -> list[EmbeddedImage]:
    """Embed every object of every image, and each image as a whole; the order stays.

    `masks[i]` are the objects of `images[i]`, `fingerprint` is the pipeline's. The crops of all
    images share batches; at most `options.batch_size` of them, or 64, are in memory at a time.
    """
    at_once = options.batch_size or CROPS_AT_ONCE
    vectors = _embed_in_slices(_crops(images, masks, options), embedder, at_once)
    weights = options.view_weights
    embedded, at = [], 0
    for image, found in zip(images, masks, strict=True):
        end = at + 1 + len(weights) * len(found)
        views = vectors[at + 1 : end].reshape(len(found), len(weights), embedder.dim)
        objects = unit_mean(views, weights)
        embedded.append(
            _record(image, found, vectors[at], objects, fingerprint, segmenter_name, embedder.name)
        )
        at = end
    return embedded


def embed_added(
    image: EmbeddedImage,
    pixels: UInt8Image,
    added: Sequence[AddedObject],
    embedder: ImageEmbedder,
    options: EmbedderOptions,
) -> EmbeddedImage:
    """The image, of uint8 (height, width, 3) pixels, with objects that were added to it by hand.

    They may be parts of its objects, which do not change. Raises ValueError for masks that are
    empty, or no RLE.
    """
    masks = [one.to_mask() for one in added]
    vectors = embed_masks(pixels, masks, embedder, options)
    found = [record.mask.rle for record in image.objects]
    records = []
    for one, mask, vector in zip(added, masks, vectors, strict=True):
        place = find_parent(mask.rle, found)
        parent = None if place is None else image.objects[place]
        records.append(
            ObjectRecord(
                uuid.UUID(one.object_id),
                mask,
                {VECTOR_NAME: vector},
                level=level_below(parent.level or Level.WHOLE if parent else None),
                parent_id=parent.object_id if parent else None,
            )
        )
    return replace(image, added=tuple(records))


def embed_masks(
    image: UInt8Image,
    masks: Sequence[ObjectMask],
    embedder: ImageEmbedder,
    options: EmbedderOptions,
) -> Float32Matrix:
    """The unit vectors of an image's objects alone: float32 (len(masks), dim)."""
    return embed_pairs([(image, mask) for mask in masks], embedder, options)


def embed_pairs(
    pairs: Sequence[tuple[UInt8Image, ObjectMask]],
    embedder: ImageEmbedder,
    options: EmbedderOptions,
) -> Float32Matrix:
    """The unit vectors of objects, each of its image: float32 (len(pairs), dim)."""
    views = (view for image, mask in pairs for view in object_views(image, mask, options))
    vectors = _embed_in_slices(views, embedder, options.batch_size or CROPS_AT_ONCE)
    weights = options.view_weights
    return unit_mean(vectors.reshape(len(pairs), len(weights), embedder.dim), weights)


def _crops(
    images: Sequence[DecodedImage],
    masks: Sequence[Sequence[ObjectMask]],
    options: EmbedderOptions,
) -> Iterator[UInt8Image]:
    for image, found in zip(images, masks, strict=True):
        yield square_image(image.pixels, options.cutout_fill)
        for mask in found:
            yield from object_views(image.pixels, mask, options)


def _embed_in_slices(
    crops: Iterator[UInt8Image], embedder: ImageEmbedder, batch_size: int
) -> Float32Matrix:
    parts = [np.zeros((0, embedder.dim), np.float32)]
    while batch := list(islice(crops, batch_size)):
        parts.append(embedder.embed_images(batch))
    return np.concatenate(parts)


def unit_mean(views: Float32Matrix, weights: Sequence[float]) -> Float32Matrix:
    """Mean of each object's unit vectors, made a unit: float32 (n, views, dim) to (n, dim).

    `weights` of the views are 1 together. Views that cancel out give zeros, which the index
    refuses.
    """
    mean = np.einsum("nvd,v->nd", views, np.array(weights, np.float32))
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    unit: Float32Matrix = mean / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


def _record(
    image: DecodedImage,
    found: Sequence[ObjectMask],
    whole: Float32Vector,
    objects: Float32Matrix,
    fingerprint: str,
    segmenter: str,
    embedder: str,
) -> EmbeddedImage:
    revision = ImageRevision(image.ref.version, fingerprint)
    identity = image_id(image.ref)
    return EmbeddedImage(
        ref=image.ref,
        size_hw=image.size_hw,
        revision=revision,
        segmenter=segmenter,
        embedder=embedder,
        whole=ImageRecord(object_id(identity, revision, IMAGE_ORDINAL), {VECTOR_NAME: whole}),
        objects=_number_objects(identity, revision, found, objects),
    )


def keep_objects(image: EmbeddedImage, masks: Sequence[ObjectMask | None]) -> EmbeddedImage:
    """The image with these masks for its objects, without those that are None; not yet labelled.

    What stays is numbered and nested anew.
    """
    pairs = [
        (mask, record.vectors[VECTOR_NAME])
        for mask, record in zip(masks, image.objects, strict=True)
        if mask is not None
    ]
    vectors = np.array([vector for _, vector in pairs], np.float32)
    found = [mask for mask, _ in pairs]
    objects = _number_objects(image_id(image.ref), image.revision, found, vectors)
    return replace(image, objects=objects)


def _number_objects(
    image: uuid.UUID, revision: ImageRevision, found: Sequence[ObjectMask], vectors: Float32Matrix
) -> tuple[ObjectRecord, ...]:
    """Records of an image's objects, by their places; vectors float32 (len(found), dim)."""
    ids = [object_id(image, revision, ordinal) for ordinal in range(len(found))]
    parents = find_parents([mask.rle for mask in found])
    return tuple(
        ObjectRecord(
            own_id,
            mask,
            {VECTOR_NAME: vector},
            level=level,
            parent_id=None if parent is None else ids[parent],
        )
        for own_id, mask, vector, level, parent in zip(
            ids, found, vectors, find_levels(parents), parents, strict=True
        )
    )
