"""Groups of near-duplicates: stars around the largest, confirmed by thumbnails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.alike_world import apart, image_at, index_of, pattern, turned, with_thumbnail
from support.index_cases import embedded, where

from pipeline.search.near_duplicates import AlikeGroup, NearDuplicates
from workers.indexes.point_index import PointIndex

LEAST = 0.99  # the cosine of 8.1 degrees


def names(group: AlikeGroup) -> list[str]:
    return [point.uri.rpartition("/")[2] for point in group.points]


def find(index: PointIndex, kind: str = "image", *conditions: object) -> list[list[str]]:
    search = NearDuplicates(index, kind, conditions, LEAST, LEAST)  # type: ignore[arg-type]
    return sorted(map(names, search.find()))


def test_each_member_is_like_the_one_to_keep(tmp_path: Path) -> None:
    # Each of a chain is like the next, the first and the last are at a right angle.
    chain = [image_at(f"{degrees:02}.jpg", degrees, 40 - degrees) for degrees in range(0, 35, 7)]
    alone = image_at("alone.jpg", 120)
    with index_of(tmp_path, [*chain, alone]) as index:
        groups = list(NearDuplicates(index, "image", (), LEAST, LEAST).find())
        assert sorted(map(names, groups)) == [["00.jpg", "07.jpg"], ["14.jpg", "21.jpg"]]
    for group in groups:
        assert group.kept.size_wh == max(point.size_wh for point in group.points)
        assert all(point.similarity >= LEAST for point in group.points)


def test_the_largest_is_kept_and_the_likest_comes_first(tmp_path: Path) -> None:
    images = [image_at("small.jpg", 0, 20), image_at("large.jpg", 4, 40), image_at("mid.jpg", 5)]
    with index_of(tmp_path, images) as index:
        (group,) = NearDuplicates(index, "image", (), LEAST, LEAST).find()
    assert names(group) == ["large.jpg", "mid.jpg", "small.jpg"]
    assert group.kept.similarity == 1.0
    expected = [np.cos(np.deg2rad(1)), np.cos(np.deg2rad(4))]
    np.testing.assert_allclose([point.similarity for point in group.others], expected, atol=1e-5)


def test_a_group_may_have_more_members_than_are_looked_for_first(tmp_path: Path) -> None:
    images = [image_at(f"{number:02}.jpg", number / 100) for number in range(45)]
    with index_of(tmp_path, images) as index:
        reports: list[tuple[int, int]] = []
        search = NearDuplicates(index, "image", (), LEAST, LEAST)
        (group,) = search.find(lambda done, total: reports.append((done, total)))
    assert len(group) == 45
    assert (reports[0], reports[-1]) == ((0, 45), (45, 45))


def test_thumbnails_tell_apart_what_vectors_do_not(tmp_path: Path) -> None:
    images = [
        with_thumbnail(image_at("a.jpg", 0, 40), pattern(1)),
        with_thumbnail(image_at("same.jpg", 1), pattern(1)[::2, ::2].copy()),
        with_thumbnail(image_at("other.jpg", 1), pattern(2)),
        image_at("without.jpg", 2),
    ]
    with index_of(tmp_path, images) as index:
        assert find(index) == [["a.jpg", "same.jpg", "without.jpg"]]


def test_without_thumbnails_vectors_have_to_be_nearer(tmp_path: Path) -> None:
    images = [image_at("a.jpg", 0, 40), image_at("near.jpg", 1), image_at("farther.jpg", 5)]
    with index_of(tmp_path, images) as index:
        (group,) = NearDuplicates(index, "image", (), LEAST, 0.999).find()
    assert names(group) == ["a.jpg", "near.jpg"]


def test_masks_of_one_object_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    # The three masks of each image lie one within the other.
    first = embedded("a.jpg", np.stack([apart(0), *(turned(at) for at in (0, 1, 2))]))
    second = embedded("b.jpg", np.stack([apart(1), turned(1), apart(2)]))
    with index_of(tmp_path, [first]) as index:
        assert find(index, "object") == []
        index.replace_images([second])
        assert find(index, "object") == [["a.jpg", "b.jpg"]]
        assert find(index, "object", where("uri", "=", "s3://photos/a.jpg")) == []
        assert find(index) == []


def test_an_empty_index_has_no_groups(tmp_path: Path) -> None:
    with index_of(tmp_path, []) as index:
        assert find(index) == []
