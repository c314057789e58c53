"""What the tests of the indexes share: images to put into them, and ways to open them.

A real server is used when OBJSEEK_TEST_QDRANT_URL names one, such as http://127.0.0.1:6333; a
stand-in for one is always at hand.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from support.qdrant_server import QdrantServer
from support.waiting import PATIENCE_S

from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import ImageRef
from schemas.masks import CocoRle, ObjectMask
from schemas.named_vectors import NO_NAMED, NamedDims
from schemas.options import IndexOptions
from schemas.records import VECTOR_NAME, EmbeddedImage, ImageRecord, ObjectRecord
from schemas.search import Condition
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex
from workers.indexes.server import opening as server_opening

DIM = 8
SERVER = os.environ.get("OBJSEEK_TEST_QDRANT_URL")
KINDS = [
    "edge",
    "lance",
    "memory",
    "stand-in",
    pytest.param(
        "server",
        marks=pytest.mark.skipif(not SERVER, reason="OBJSEEK_TEST_QDRANT_URL names no server"),
    ),
]
Vectors = np.ndarray[Any, np.dtype[np.float32]]


def unit(seed: int, count: int, dim: int = DIM) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embedded(
    key: str,
    vectors: Vectors,
    *,
    version: str = "v1",
    fingerprint: str = "f1",
    bucket: str = "photos",
    size_hw: tuple[int, int] = (20, 30),
) -> EmbeddedImage:
    """An image of which the first vector is the whole's, the others its objects'."""
    ref = ImageRef("s3", bucket, key, version, 100)
    revision = ImageRevision(version, fingerprint)
    ids = image_id(ref)
    objects = []
    for ordinal, vector in enumerate(vectors[1:]):
        mask = np.zeros(size_hw, bool)
        mask[2 : 6 + ordinal, 3:10] = True
        box = (3, 2, 10, 6 + ordinal)
        area = int(mask.sum())
        shape = ObjectMask(CocoRle.from_mask(mask), box, area, 0.9 - ordinal / 64, 0.95, (4.0, 3.0))
        objects.append(
            ObjectRecord(object_id(ids, revision, ordinal), shape, {VECTOR_NAME: vector})
        )
    whole = ImageRecord(object_id(ids, revision, IMAGE_ORDINAL), {VECTOR_NAME: vectors[0]})
    return EmbeddedImage(ref, size_hw, revision, "sam_x", "clip_x", whole, tuple(objects))


def ids_of(image: EmbeddedImage) -> set[str]:
    return {str(record.object_id) for record in (image.whole, *image.objects)}


def held(index: PointIndex) -> set[str]:
    return {point.id for point in index.scroll()}


def where(field: str, op: str, value: object) -> Condition:
    return Condition.model_validate({"field": field, "op": op, "value": value})


def options_for(location: str, upsert_batch: int = 128) -> IndexOptions:
    return IndexOptions(location=location, upsert_batch=upsert_batch, timeout_s=PATIENCE_S)


Opener = Callable[..., PointIndex]


def make_opener(kind: str, folder: Path) -> tuple[Opener, Callable[[], None]]:
    """A function that opens the same index again, and one that removes it."""
    name = f"objseek-test-{uuid.uuid4().hex}"
    server = QdrantServer() if kind == "stand-in" else None
    if kind == "edge":
        location, client = str(folder / "index"), None
    elif kind == "lance":
        location, client = f"lance+file://{folder / 'index'}", None
    elif server is not None:
        location, client = f"{server.url}/{name}", None
    elif kind == "memory":
        location, client = f"http://memory/{name}", QdrantClient(":memory:")
    else:
        location, client = f"{SERVER}/{name}", QdrantClient(url=SERVER, check_compatibility=False)

    def opened(
        dim: int | None = DIM,
        create: bool = True,
        upsert_batch: int = 3,
        named: NamedDims = NO_NAMED,
    ) -> PointIndex:
        options = options_for(location, upsert_batch)
        if kind == "memory":
            return server_opening.build(options, dim, create=create, client=client, named=named)
        index = open_index(options, dim, create=create, named=named)
        assert isinstance(index, PointIndex)
        return index

    def removed() -> None:
        if server is not None:
            server.close()
        if client is not None and kind == "server":
            client.delete_collection(name)
            client.close()

    return opened, removed


@contextmanager
def one_index(kind: str, folder: Path, named: NamedDims = NO_NAMED) -> Iterator[PointIndex]:
    """An index of a kind, open for many tests, which empty it after themselves."""
    opened, removed = make_opener(kind, folder)
    made = opened(named=named)
    yield made
    removed()
    made.close()
