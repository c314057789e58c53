"""Thumbnails in an index: written and deleted with their points, and read only when wanted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.index_cases import KINDS, embedded, one_index, unit

from schemas.ids import image_id
from schemas.points import IndexQuery, Point
from schemas.records import EmbeddedImage
from schemas.thumbnails import Thumbnail
from workers.indexes.point_index import PointIndex

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PointIndex]:
    with one_index(request.param, tmp_path) as made:
        yield made


def with_thumbnails(image: EmbeddedImage) -> EmbeddedImage:
    """Each with its ordinal for bytes."""

    def make(ordinal: int) -> Thumbnail:
        return Thumbnail((0, 0, 30, 20), f"WebP {ordinal} {image.ref.version}".encode())

    objects = (
        replace(record, thumbnail=make(ordinal)) for ordinal, record in enumerate(image.objects)
    )
    return replace(image, whole=replace(image.whole, thumbnail=make(-1)), objects=tuple(objects))


def ids(image: EmbeddedImage) -> list[uuid.UUID]:
    return [record.object_id for record in (image.whole, *image.objects)]


def test_they_come_with_a_scan_and_by_id_alone(index: PointIndex) -> None:
    image, plain = with_thumbnails(embedded("a.jpg", unit(0, 3))), embedded("b.jpg", unit(1, 3))
    index.replace_images([image, plain])
    assert index.thumbnails([*ids(image), *ids(plain), uuid.UUID(int=7)]) == {
        identity: f"WebP {ordinal} v1".encode()
        for identity, ordinal in zip(ids(image), (-1, 0, 1), strict=True)
    }
    query = IndexQuery(vector=unit(0, 3)[1], limit=9)
    found = [hit.payload for hit in index.search(query)]
    read = [
        point.parse_payload() for point in (*index.scroll(), *index.stored(ids(image)).values())
    ]
    assert len(found) >= 5
    assert len(read) == 9
    for payload in (*found, *read):
        assert payload.thumbnail is None
        kept = payload.uri.endswith("a.jpg")
        assert payload.thumbnail_box == ((0, 0, 30, 20) if kept else None)
        assert (payload.thumbnail_check is not None) == kept
    scanned = {point.id: point.parse_payload().thumbnail for point in index.scan()}
    assert {identity for identity, text in scanned.items() if text} == set(map(str, ids(image)))


def test_they_go_with_their_points(index: PointIndex) -> None:
    first = with_thumbnails(embedded("a.jpg", unit(0, 3)))
    index.replace_images([first])
    second = with_thumbnails(embedded("a.jpg", unit(0, 2), version="v2"))
    index.replace_images([second])
    assert index.thumbnails(ids(first)) == {}
    assert set(index.thumbnails(ids(second)).values()) == {b"WebP -1 v2", b"WebP 0 v2"}
    index.delete_images([image_id(second.ref)])
    assert index.thumbnails(ids(second)) == {}


def test_anothers_is_none(index: PointIndex) -> None:
    image = with_thumbnails(embedded("a.jpg", unit(0, 3)))
    index.replace_images([image])
    whole, first, second = sorted(index.scan(), key=lambda point: point.payload["ordinal"])
    altered = {**first.payload, "thumbnail": second.payload["thumbnail"]}
    index.restore([Point(first.id, altered, first.vector)])
    found = index.thumbnails(ids(image))
    assert set(map(str, found)) == {whole.id, second.id}
    assert index.count_broken() == 1
