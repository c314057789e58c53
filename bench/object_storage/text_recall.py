"""Asks texts of the bundled CLIP among objects of drawn scenes: how many of the nearest are found.

Vectors of texts lie apart from those of images, so that partitions that are chosen by them may be
the wrong ones.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from bench.object_storage.truth import recall
from bench.synthetic import OBJECTS_AN_IMAGE, make_image
from pipeline.demo.scenes import SCENE_HW, compose
from pipeline.demo.sprites import bundled_sprites
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions, IndexOptions
from schemas.points import IndexQuery
from schemas.records import Float32Matrix
from workers.embedders.embed_objects import embed_masks
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index
from workers.registry import build_embedder

_FIRST = 10
_TEXTS = 300
_OPTIONS = EmbedderOptions(name="clip_demo", device="cpu")


def measure(folder: Path, scenes: int, seed: int) -> tuple[int, float]:
    """How many objects of so many scenes are indexed in `folder`, and recall@10 of texts."""
    vectors, queries = _embed(folder, scenes, seed)
    with closing(_index(folder, vectors)) as index:
        found, exact = (
            [
                [(hit.object_id, hit.score) for hit in index.search(query)]
                for query in (IndexQuery(each, _FIRST, exact=exactly) for each in queries)
            ]
            for exactly in (False, True)
        )
        return index.count(), recall(found, exact)


def _embed(folder: Path, scenes: int, seed: int) -> tuple[Float32Matrix, Float32Matrix]:
    """Vectors of the objects of scenes, as they are drawn, and of texts; kept in `folder`."""
    kept = folder / f"clip-{scenes}-{seed}.npz"
    if not kept.exists():
        embedder = build_embedder(_OPTIONS)
        parts = []
        for number in range(scenes):
            scene = compose(np.random.default_rng([seed, number]), bundled_sprites(), SCENE_HW)
            found = (ObjectMask.measure(CocoRle.from_mask(each.mask)) for each in scene.objects)
            masks = [mask for mask in found if mask is not None]
            parts.append(embed_masks(scene.image, masks, embedder, _OPTIONS))
        concepts = {sprite.concept.label: sprite.concept for sprite in bundled_sprites()}
        every = [*concepts, *(word for each in concepts.values() for word in each.keywords)]
        texts = np.random.default_rng(seed).permutation(sorted(set(every)))[:_TEXTS].tolist()
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(kept, vectors=np.concatenate(parts), texts=embedder.embed_texts(texts))
    with np.load(kept) as arrays:
        return arrays["vectors"], arrays["texts"]


def _index(folder: Path, vectors: Float32Matrix) -> LanceIndex:
    """An index of these vectors, with its partitions made."""
    place = f"lance+file://{folder.resolve()}/clip-{len(vectors)}"
    index = open_index(IndexOptions(location=place), vectors.shape[1], create=True)
    assert isinstance(index, LanceIndex)
    if not index.count():
        kinds = np.arange(OBJECTS_AN_IMAGE)
        groups = vectors[: len(vectors) // OBJECTS_AN_IMAGE * OBJECTS_AN_IMAGE]
        groups = groups.reshape(-1, OBJECTS_AN_IMAGE, vectors.shape[1])
        index.replace_images(
            [make_image(n, each, kinds, _OPTIONS.name) for n, each in enumerate(groups)]
        )
        index.optimize()
    return index
