"""The contract of every index: Edge, a remote client in memory, a real server if there is one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.index_cases import (
    DIM,
    KINDS,
    Opener,
    embedded,
    held,
    ids_of,
    make_opener,
    options_for,
    unit,
    where,
)

from schemas.errors import (
    EmbedderMismatchError,
    IndexMissingError,
    InvalidVectorError,
    UsageError,
)
from schemas.ids import image_id
from schemas.points import EmbedderCount, IndexQuery
from schemas.records import VECTOR_NAME
from schemas.search import Condition
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opened, removed = make_opener(request.param, tmp_path)
    yield opened
    removed()


def test_what_is_written_comes_back(index: PointIndex) -> None:
    before = datetime.now(UTC)
    vectors = unit(0, 4)
    image = embedded("a/b c.jpg", vectors)
    index.replace_images([image])
    points = {point.id: point for point in index.scroll()}
    assert set(points) == ids_of(image)
    first = points[str(image.objects[0].object_id)].parse_payload()
    assert first.rle is not None
    assert first.rle.to_rle() == image.objects[0].mask.rle
    assert first.bbox == (3, 2, 10, 6)
    assert (first.kind, first.ordinal, first.uri) == ("object", 0, "s3://photos/a/b c.jpg")
    assert (first.image_id, first.generation) == (str(image_id(image.ref)), image.revision.id)
    assert (first.width, first.height, first.area) == (30, 20, 28)
    assert before <= first.ingested_at <= datetime.now(UTC)
    whole = points[str(image.whole.object_id)].parse_payload()
    assert (whole.kind, whole.ordinal, whole.rle, whole.predicted_iou) == ("image", -1, None, None)
    second, absent = image.objects[1].object_id, uuid.UUID(int=7)
    stored = index.stored([absent, second])
    assert list(stored) == [second]
    assert stored[second].id == str(second)
    assert stored[second].payload == points[str(second)].payload
    assert points[str(second)].vector is None
    assert stored[second].vector.dtype == np.float32
    np.testing.assert_allclose(stored[second].vector, vectors[2], atol=1e-6)
    assert index.stored([]) == {}
    only = index.scroll([Condition(field="kind", op="=", value="image")])
    assert [point.id for point in only] == [str(image.whole.object_id)]


def test_writing_again_changes_nothing(index: PointIndex) -> None:
    images = [embedded(f"{n}.jpg", unit(n, 3)) for n in range(3)]
    index.replace_images(images)
    index.replace_images(images)
    index.replace_images([])
    assert held(index) == set().union(*map(ids_of, images))
    assert index.info().points == 9


def test_a_new_generation_takes_the_place_of_the_old(index: PointIndex) -> None:
    other = embedded("other.jpg", unit(9, 3))
    index.replace_images([embedded("a.jpg", unit(0, 6)), other])
    fewer = embedded("a.jpg", unit(1, 2), version="v2")
    index.replace_images([fewer])
    assert held(index) == ids_of(fewer) | ids_of(other)
    none = embedded("a.jpg", unit(2, 1), fingerprint="f2")
    index.replace_images([none])
    assert held(index) == ids_of(none) | ids_of(other)


def test_fewer_objects_in_the_same_generation_leave_nothing_stale(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 6))])
    fewer = embedded("a.jpg", unit(0, 3))
    index.replace_images([fewer])
    assert held(index) == ids_of(fewer)


def test_a_crash_before_the_old_is_deleted_is_repaired_by_repeating(index: PointIndex) -> None:
    if isinstance(index, LanceIndex):
        pytest.skip("what comes and what goes is one commit")
    old, new = embedded("a.jpg", unit(0, 4)), embedded("a.jpg", unit(1, 3), version="v2")
    index.replace_images([old])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.replace_images([new])
    assert held(index) == ids_of(old) | ids_of(new)
    index.replace_images([new])
    assert held(index) == ids_of(new)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full(DIM, np.nan, np.float32), "finite vector other than zero"),
        (np.zeros(DIM, np.float32), "finite vector other than zero"),
        (np.ones(DIM + 1, np.float32), "expected a vector of 8 numbers"),
    ],
)
def test_nothing_is_written_if_one_vector_is_bad(index: PointIndex, bad: Any, message: str) -> None:
    good, wrong = embedded("a.jpg", unit(0, 2)), embedded("b.jpg", unit(1, 3))
    index.replace_images([embedded("a.jpg", unit(5, 2), version="v0")])
    before = held(index)
    wrong.objects[1].vectors[VECTOR_NAME] = bad  # type: ignore[index]
    with pytest.raises(InvalidVectorError, match=message) as caught:
        index.replace_images([good, wrong])
    assert "s3://photos/b.jpg" in str(caught.value)
    assert held(index) == before


def test_an_image_may_not_stand_twice_in_one_batch(index: PointIndex) -> None:
    images = [embedded("a.jpg", unit(0, 2)), embedded("a.jpg", unit(0, 2), version="v2")]
    with pytest.raises(ValueError, match="stands twice"):
        index.replace_images(images)
    assert held(index) == set()


def test_an_image_is_deleted_whole_and_alone(index: PointIndex) -> None:
    gone, kept = embedded("a.jpg", unit(0, 4)), embedded("b.jpg", unit(1, 2))
    index.replace_images([gone, kept])
    index.delete_images([image_id(gone.ref)])
    index.delete_images([image_id(gone.ref)])
    assert held(index) == ids_of(kept)


def test_points_are_deleted_by_their_ids(index: PointIndex) -> None:
    image = embedded("a.jpg", unit(0, 4))
    index.replace_images([image])
    first, *others = sorted(ids_of(image))
    index.delete_points([first, str(uuid.uuid4())])
    assert held(index) == set(others)
    index.delete_points([])
    assert held(index) == set(others)


def test_a_scan_gives_every_point_with_its_vector(index: PointIndex) -> None:
    images = [embedded(f"{n}.jpg", unit(n, 3)) for n in range(3)]
    index.replace_images(images)
    scanned = {point.id: point for point in index.scan()}
    assert set(scanned) == set().union(*map(ids_of, images))
    for number, image in enumerate(images):
        for record, vector in zip((image.whole, *image.objects), unit(number, 3), strict=True):
            point = scanned[str(record.object_id)]
            np.testing.assert_allclose(point.vector, vector, atol=1e-6)
            assert point.payload["key"] == f"{number}.jpg"


def test_search_ranks_by_cosine(index: PointIndex) -> None:
    vectors = unit(3, 30)
    images = [embedded(f"{n}.jpg", vectors[3 * n : 3 * n + 3]) for n in range(10)]
    index.replace_images(images)
    scores = {
        str(record.object_id): float(record.vectors[VECTOR_NAME] @ vectors[4])
        for image in images
        for record in (image.whole, *image.objects)
    }
    expected = sorted(scores, key=lambda identity: -scores[identity])
    hits = index.search(IndexQuery(vectors[4] * 7, 12))
    assert [hit.object_id for hit in hits] == expected[:12]
    np.testing.assert_allclose(
        [hit.score for hit in hits], sorted(scores.values(), reverse=True)[:12], atol=1e-5
    )
    assert len(index.search(IndexQuery(vectors[4], 1000))) == 30


def test_the_least_score_is_included(index: PointIndex) -> None:
    index.replace_images([embedded(f"{n}.jpg", unit(n, 4)) for n in range(5)])
    query = unit(77, 1)[0]
    everything = index.search(IndexQuery(query, 20))
    least = (everything[6].score + everything[7].score) / 2
    hits = index.search(IndexQuery(query, 20, min_score=least))
    assert [hit.object_id for hit in hits] == [hit.object_id for hit in everything[:7]]
    exact = index.search(IndexQuery(query, 20, min_score=everything[6].score))
    assert [hit.object_id for hit in exact] == [hit.object_id for hit in everything[:7]]
    assert index.search(IndexQuery(query, 20, min_score=1.5)) == []


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_ties_are_in_the_order_of_their_ids(index: PointIndex, limit: int) -> None:
    same = np.tile(np.eye(1, DIM, dtype=np.float32), (3, 1))
    images = [embedded(f"{n}.jpg", same) for n in range(3)]
    index.replace_images(images)
    hits = index.search(IndexQuery(same[0], limit))
    assert [hit.object_id for hit in hits] == sorted(set().union(*map(ids_of, images)))[:limit]


def test_grouped_by_image_each_gives_its_best(index: PointIndex) -> None:
    near = np.tile(np.eye(1, DIM, dtype=np.float32), (40, 1))
    near[:, 1] = np.linspace(0.01, 0.4, 40)
    far = [embedded(f"far{n}.jpg", unit(n, 3)) for n in range(4)]
    crowd = embedded("crowd.jpg", near, size_hw=(60, 30))
    index.replace_images([crowd, *far])
    query = near[0]
    everything = index.search(IndexQuery(query, 100))
    firsts: dict[str, str] = {}
    for hit in everything:
        firsts.setdefault(hit.payload.image_id, hit.object_id)
    for limit in (1, 3, 5, 50):
        hits = index.search(IndexQuery(query, limit, group_size=1))
        assert [hit.object_id for hit in hits] == list(firsts.values())[:limit]
    chosen = IndexQuery(query, 9, (where("kind", "=", "image"),), group_size=1)
    assert {hit.payload.kind for hit in index.search(chosen)} == {"image"}
    assert len(index.search(chosen)) == 5


def test_of_overlapping_objects_the_best_stands_for_all(index: PointIndex) -> None:
    # The objects of these images lie in one another.
    images = [embedded("a.jpg", unit(0, 5)), embedded("b.jpg", unit(1, 4))]
    index.replace_images(images)
    query = unit(2, 1)[0]
    everything = index.search(IndexQuery(query, 100))
    firsts: dict[str, str] = {}
    for hit in everything:
        apart = hit.object_id if hit.payload.kind == "image" else hit.payload.image_id
        firsts.setdefault(apart, hit.object_id)
    for limit in (1, 2, 3, 4, 50):
        hits = index.search(IndexQuery(query, limit, max_overlap=0.5))
        assert [hit.object_id for hit in hits] == list(firsts.values())[:limit]


def test_a_query_that_does_not_fit_is_refused(index: PointIndex) -> None:
    with pytest.raises(InvalidVectorError, match="expected a query vector of 8 numbers"):
        index.search(IndexQuery(np.ones(5, np.float32), 3))
    with pytest.raises(InvalidVectorError, match="other than zero"):
        index.search(IndexQuery(np.zeros(DIM, np.float32), 3))
    with pytest.raises(UsageError, match="unknown filter field 'colour'"):
        index.search(IndexQuery(np.ones(DIM, np.float32), 3, (where("colour", "=", "red"),)))


def test_info_counts(index: PointIndex) -> None:
    empty = index.info()
    assert (empty.dim, empty.points, empty.embedders, empty.pipelines) == (DIM, 0, (), 0)
    index.replace_images([embedded("a.jpg", unit(0, 4)), embedded("b.jpg", unit(1, 1))])
    index.replace_images([embedded("c.jpg", unit(2, 3), fingerprint="f2")])
    info = index.info()
    assert (info.points, info.objects, info.images) == (8, 5, 3)
    assert info.embedders == (EmbedderCount("clip_x", 8),)
    assert info.segmenters == ("sam_x",)
    assert info.pipelines == 2
    assert (info.size_bytes is None) == (not isinstance(index, EdgeIndex | LanceIndex))


def test_opening_again(opener: Opener) -> None:
    with pytest.raises(IndexMissingError):
        opener(create=False)
    image = embedded("a.jpg", unit(0, 3))
    index = opener()
    index.replace_images([image])
    if isinstance(index, EdgeIndex):
        index.close()
    with pytest.raises(EmbedderMismatchError) as caught:
        opener(dim=16)
    assert "vectors of 8 numbers" in str(caught.value)
    assert "vectors of 16" in str(caught.value)
    again = opener(dim=None, create=False)
    assert again.dim == DIM
    assert held(again) == ids_of(image)
    again.close()
    again.close()


def test_creating_needs_a_dimension(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the dimension"):
        open_index(options_for(str(tmp_path / "index")), None, create=True)


def test_added_objects_are_put_beside_the_others(index: PointIndex) -> None:
    vectors = unit(5, 4)
    image = embedded("added.jpg", vectors[:3])
    record = replace(image.objects[0], object_id=uuid.uuid4(), vectors={VECTOR_NAME: vectors[3]})
    added = replace(image, added=(record,))
    index.replace_images([image])
    index.add_objects(added, datetime.now(UTC))
    assert held(index) == ids_of(image) | {str(record.object_id)}
    wanted = [point.id for point in index.scroll([where("added", "=", "true")])]
    assert wanted == [str(record.object_id)]
    assert index.count([where("added", "=", "false")]) == len(ids_of(image))
    # A run that began before it leaves the image alone; a later one replaces all of it.
    early = datetime.now(UTC) - timedelta(hours=1)
    assert index.replace_images([image], early) == {image_id(image.ref)}
    assert held(index) == ids_of(image) | {str(record.object_id)}
    index.replace_images([added])
    assert held(index) == ids_of(image) | {str(record.object_id)}
    index.replace_images([image])
    assert held(index) == ids_of(image)
    with pytest.raises(UsageError, match="'added' takes true or false, got 'yes'"):
        index.count([where("added", "=", "yes")])
    with pytest.raises(UsageError, match="'added' takes = !=, got '<'"):
        index.count([where("added", "<", "true")])
