"""An index of as many objects as wanted: vectors that lie as CLIP's do, payloads as the demo's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from bench.sparse_texts import SparseTexts
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import ImageRef
from schemas.labels import Label, LabelEntry, Naming, parse_labels
from schemas.masks import CocoRle, ObjectMask
from schemas.options import IndexOptions
from schemas.points import Point
from schemas.records import (
    VECTOR_NAME,
    EmbeddedImage,
    Float32Matrix,
    ImageRecord,
    ObjectRecord,
)
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.open import open_index
from workers.indexes.points import batch_points, image_points
from workers.models.catalog import bundled_file

DIM = 512
OBJECTS_AN_IMAGE = 10
BUCKETS = 10
FOLDERS = 1000
REVISION = ImageRevision("v1", "synthetic")
_CLUSTERS = 2000
# CLIP's vectors lie in a narrow cone: two of any images have a cosine of about 0.5, and those of
# one kind of thing about 0.8.
_CONE, _KIND, _OWN = 0.7, 0.56, 0.44
_SIZE_HW = (480, 640)
_POINTS_AT_ONCE = 2500
_TIDIED_EVERY = 4  # batches: as often as an ingest does it


class Cone:
    """Unit vectors in clusters within a cone; `rows` are the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._axis = _unit(rng.standard_normal((1, DIM)))
        self._kinds = _unit(rng.standard_normal((_CLUSTERS, DIM)))

    def rows(self, count: int, seed: int) -> tuple[Float32Matrix, np.ndarray]:
        """float32 (count, DIM), and of which cluster each is."""
        rng = np.random.default_rng([seed, 1])
        # Some things are seen often, most seldom.
        kinds = (_CLUSTERS * rng.random(count) ** 2).astype(int)
        own = _unit(rng.standard_normal((count, DIM)))
        return _unit(_CONE * self._axis + _KIND * self._kinds[kinds] + _OWN * own), kinds


def _unit(rows: np.ndarray) -> Float32Matrix:
    unit: Float32Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def images(objects: int, embedder: str) -> Iterator[EmbeddedImage]:
    """Images with ten objects each, in `BUCKETS` buckets of `FOLDERS` folders together."""
    cone = Cone()
    for number in range(objects // OBJECTS_AN_IMAGE):
        yield make_image(number, *cone.rows(OBJECTS_AN_IMAGE, number), embedder)


def points_of_images(objects: int, embedder: str, *, sparse: bool = False) -> Iterator[list[Point]]:
    """The points of each image; with `sparse`, its objects have a sparse vector of the user's."""
    now, texts = datetime.now(UTC), SparseTexts()
    for number, image in enumerate(images(objects, embedder)):
        points = image_points(image, now, now)
        if sparse:
            drawn = iter(texts.draw(number, OBJECTS_AN_IMAGE))
            points = [
                replace(point, sparse=next(drawn)) if point.payload["kind"] == "object" else point
                for point in points
            ]
        yield points


def make_image(
    number: int, vectors: Float32Matrix, kinds: np.ndarray, embedder: str
) -> EmbeddedImage:
    """The image of a number, with an object for each of the vectors (n, any) and kinds (n,)."""
    names, shapes = _names(), _shapes()
    ref = image_ref(number)
    identity = image_id(ref)
    records = []
    for ordinal, (vector, kind) in enumerate(zip(vectors, kinds.tolist(), strict=True)):
        entries = [names[(kind + step) % len(names)] for step in range(3)]
        pairs = zip(entries, (0.61, 0.17, 0.08), strict=True)
        naming = Naming(tuple(Label(entry, score) for entry, score in pairs), 80.0)
        mask = shapes[(number + ordinal) % len(shapes)]
        point = object_id(identity, REVISION, ordinal)
        records.append(ObjectRecord(point, mask, {VECTOR_NAME: vector}, naming))
    whole = ImageRecord(
        object_id(identity, REVISION, IMAGE_ORDINAL),
        {VECTOR_NAME: _unit(vectors.mean(axis=0, keepdims=True))[0]},
    )
    return EmbeddedImage(
        ref, _SIZE_HW, REVISION, "sam_demo", embedder, whole, tuple(records), "synthetic"
    )


def image_ref(number: int) -> ImageRef:
    """Where the image of a number is."""
    folder = number % FOLDERS
    key = f"2026/{folder:03}/{number:07}.jpg"
    return ImageRef("s3", f"photos-{folder % BUCKETS}", key, "v1", 100_000)


@cache
def _names() -> list[LabelEntry]:
    return parse_labels(bundled_file("labels_general.txt").read_text().splitlines())


@cache
def _shapes() -> list[ObjectMask]:
    """Discs of many sizes and places; their strings are as long as a real mask's."""
    rng, rows, columns = np.random.default_rng(5), *np.indices(_SIZE_HW)
    shapes = []
    for _ in range(50):
        radius = int(rng.integers(8, 90))
        y, x = (int(rng.integers(radius + 1, side - radius - 1)) for side in _SIZE_HW)
        mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        box = (x - radius, y - radius, x + radius + 1, y + radius + 1)
        rle = CocoRle.from_mask(mask)
        shapes.append(ObjectMask(rle, box, int(mask.sum()), 0.9, 0.95, (float(x), float(y))))
    return shapes


def build(folder: Path, objects: int, embedder: str, *, sparse: bool = False) -> None:
    """Write the index, unless it is there whole, with the points of `points_of_images`.

    Without what an ingest does to be safe: nobody else writes, and nothing was there before.
    """
    done = folder / "built"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    options = IndexOptions(location=str(folder / "index"))
    with closing(open_index(options, DIM, create=True)) as index:
        assert isinstance(index, EdgeIndex)
        rows = chain.from_iterable(points_of_images(objects, embedder, sparse=sparse))
        for number, batch in enumerate(batch_points(rows, _POINTS_AT_ONCE), start=1):
            index.upsert(batch)
            if number % _TIDIED_EVERY == 0:
                index.flush()
                index.optimize()
    done.touch()
