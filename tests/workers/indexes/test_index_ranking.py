"""Ranking beyond nearness, in every index: words, examples, variety, groups; labels and counts."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge
from support.index_cases import (
    DIM,
    Vectors,
    embedded,
    options_for,
    unit,
    where,
)

from schemas.errors import UsageError
from schemas.labels import Label, LabelEntry, Naming
from schemas.points import IndexQuery, PointLabels, TextSum
from schemas.records import EmbeddedImage
from schemas.search import Condition, SearchHit
from workers.indexes.bm25 import query_words, words_of
from workers.indexes.edge import opening as edge_opening
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

MUG = LabelEntry("mug", ("cup", "kitchen"))
DOG = LabelEntry("dog", ("animal", "pet"))


def named(image: EmbeddedImage, *entries: LabelEntry, score: float = 0.75) -> EmbeddedImage:
    """`image`, its objects called by the entries in turn."""
    objects = tuple(
        replace(record, naming=Naming((Label(entry, score),), 12.5))
        for record, entry in zip(image.objects, entries, strict=True)
    )
    return replace(image, objects=objects, labelled_by="list one")


def ids(hits: list[SearchHit]) -> list[str]:
    return [hit.object_id for hit in hits]


def test_labels_come_back_and_are_counted_and_filtered_by(index: PointIndex) -> None:
    both, dog = (
        named(embedded("a.jpg", unit(0, 3)), MUG, DOG),
        named(embedded("b.jpg", unit(1, 2)), DOG, score=0.5),
    )
    index.replace_images([both, dog, embedded("c.jpg", unit(2, 2))])
    payloads = {point.id: point.parse_payload() for point in index.scroll()}
    mug = payloads[str(both.objects[0].object_id)]
    assert (mug.labels, mug.label_scores, mug.label_logsumexp) == (("mug",), (0.75,), 12.5)
    assert mug.center_x_frac == pytest.approx(6.5 / 30, abs=1e-6)
    assert mug.center_y_frac == pytest.approx(4 / 20, abs=1e-6)
    whole = payloads[str(both.whole.object_id)]
    assert (whole.labels, whole.label_logsumexp) == (("dog", "mug"), None)
    objects = [where("kind", "=", "object")]
    counted = [(facet.value, facet.count) for facet in index.facet("labels", objects)]
    assert counted == [("dog", 2), ("mug", 1)]
    assert [(facet.value, facet.count) for facet in index.facet("bucket", limit=1)] == [
        ("photos", 7)
    ]
    assert index.count([*objects, where("labels", "=", "dog")]) == 2
    assert index.count([*objects, where("labels", "!=", "dog")]) == 2
    assert index.count([*objects, where("center_y_frac", "<", 0.21)]) == 3
    assert index.info().labelled == 5
    with pytest.raises(UsageError, match="to count by, got 'area'"):
        index.facet("area")


def guessed(image: EmbeddedImage, *guesses: tuple[tuple[str, float], ...]) -> EmbeddedImage:
    """`image`, its objects with these guesses in turn, the likeliest first."""
    objects = tuple(
        replace(record, naming=Naming(tuple(Label(LabelEntry(n), s) for n, s in each), 12.5))
        for record, each in zip(image.objects, guesses, strict=True)
    )
    return replace(image, objects=objects, labelled_by="list one")


def sure(label: str, least: float, op: str = "=") -> Condition:
    return where("labels", op, label).model_copy(update={"least_score": least})


def counts(index: PointIndex, least: float, *conditions: Condition, limit: int = 9) -> list[str]:
    return [
        f"{item.value} {item.count}" for item in index.facet("labels", conditions, limit, least)
    ]


@pytest.mark.trials
def test_labels_count_from_a_score_on(index: PointIndex) -> None:
    first = guessed(
        embedded("a.jpg", unit(0, 5)),
        (("dog", 0.9), ("cat", 0.05)),
        (("cat", 0.5), ("dog", 0.45)),
        (("mug", 0.3), ("dog", 0.29), ("cat", 0.28)),
        (),
    )
    second = guessed(embedded("b.jpg", unit(1, 2)), (("mug", 0.6), ("dog", 0.3)))
    index.replace_images([first, second, embedded("c.jpg", unit(2, 2))])
    objects, images = where("kind", "=", "object"), where("kind", "=", "image")
    assert counts(index, 0.0, objects) == ["dog 4", "cat 3", "mug 2"]
    assert counts(index, 0.5, objects) == ["cat 1", "dog 1", "mug 1"]
    assert counts(index, 0.51, objects) == ["dog 1", "mug 1"]
    assert counts(index, 0.51, objects, limit=1) == ["dog 1"]
    assert counts(index, 0.4, objects) == ["dog 2", "cat 1", "mug 1"]
    assert counts(index, 0.28, objects) == ["dog 4", "cat 2", "mug 2"]
    assert counts(index, 0.28, objects, limit=1) == ["dog 4"]
    assert counts(index, 0.95, objects) == []
    # An image shows what any of its objects surely is.
    assert counts(index, 0.51, images) == ["dog 1", "mug 1"]
    assert counts(index, 0.5, images) == ["cat 1", "dog 1", "mug 1"]
    assert counts(index, 0.5) == ["cat 2", "dog 2", "mug 2"]
    assert counts(index, 0.4, objects, sure("cat", 0.5)) == ["cat 1", "dog 1"]
    for least in (0.0, 0.28, 0.4, 0.5, 0.51, 0.95):
        for kind in (objects, images):
            for text in counts(index, least, kind):
                label, _, count = text.rpartition(" ")
                assert index.count([kind, sure(label, least)]) == int(count)
    assert index.count([objects, sure("dog", 0.51, "!=")]) == 5
    assert index.count([objects, sure("d", 0.45, "^=")]) == 2
    assert index.count([objects, sure("dog", 0.0)]) == 4
    hits = index.search(IndexQuery(unit(7, 1)[0], 9, (objects, sure("dog", 0.51))))
    assert ids(hits) == [str(first.objects[0].object_id)]
    hits = index.search(IndexQuery(unit(7, 1)[0], 9, (images, sure("mug", 0.51))))
    assert ids(hits) == [str(second.whole.object_id)]


def test_words_and_nearness_are_fused(index: PointIndex) -> None:
    vectors = np.eye(6, DIM, dtype=np.float32)
    far = named(embedded("far.jpg", vectors[[1, 2]]), MUG)
    near = named(embedded("near.jpg", vectors[[3, 0]]), DOG)
    index.replace_images([far, near])
    only = (where("kind", "=", "object"),)
    dense = IndexQuery(vectors[0], 5, only)
    mug, dog = far.objects[0].object_id, near.objects[0].object_id
    assert ids(index.search(dense)) == [str(dog), str(mug)]
    for words in ("mugs", "a cup", "far"):
        word_query = query_words([words])
        assert word_query is not None
        hits = index.search(replace(dense, words=word_query))
        assert ids(hits) == [str(mug), str(dog)], words
        # Scores stay what they were: similarities.
        assert [hit.score for hit in hits] == pytest.approx([0.0, 1.0], abs=1e-6)
    unknown = query_words(["zebra"])
    assert unknown is not None
    assert ids(index.search(replace(dense, words=unknown))) == [str(dog), str(mug)]
    assert query_words(["the of"]) is None
    assert ids(index.search(replace(dense, words=query_words(["mug"]), min_score=0.5))) == [
        str(dog)
    ]


def sum_of(text: str, **weights: float) -> TextSum:
    return TextSum(text, **{"label_words": 0.15, "uri_words": 0.07, **weights})


def near(cosine: float, axis: int) -> Vectors:
    """A unit vector that has this cosine to the first axis."""
    row = np.zeros(DIM, np.float32)
    row[0], row[axis] = cosine, np.sqrt(1 - cosine**2)
    return row


def test_one_sum_ranks_for_a_text(index: PointIndex) -> None:
    """Cosine, mask, how near all labels are, and words of labels and uris: each decides once."""
    rows = np.stack([unit(9, 1)[0], near(0.5, 1), near(0.52, 2)])
    both = named(embedded("a.jpg", rows), DOG, MUG)
    alone = named(embedded("cup.jpg", np.stack([unit(9, 1)[0], near(0.4, 3)])), DOG)
    index.replace_images([both, alone])
    dog, mug = (str(record.object_id) for record in both.objects)
    far = str(alone.objects[0].object_id)
    only = (where("kind", "=", "object"),)
    text = replace(
        IndexQuery(np.eye(1, DIM, dtype=np.float32)[0], 5, only), words=query_words(["cup"])
    )

    def found(**weights: float) -> list[str]:
        return ids(index.search(replace(text, text_sum=sum_of("cup", **weights))))

    nothing = {"label_words": 0.0, "uri_words": 0.0}
    assert found(**nothing) == [mug, dog, far]
    # The first mask of an image has a predicted IoU of 0.9, the second one of 1/64 less.
    assert found(**nothing, predicted_iou=1.0) == [mug, dog, far]
    assert found(**nothing, predicted_iou=2.0) == [dog, mug, far]
    # "cup" is a keyword of the mug, of a probability of 0.75, and a word of the last one's uri.
    assert found(uri_words=0.0, label_words=-0.1) == [dog, mug, far]
    assert found(label_words=0.0, uri_words=0.13) == [far, mug, dog]
    assert found(uri_words=0.13) == [mug, far, dog]
    # Scores stay similarities, and a least score is one.
    hits = index.search(replace(text, text_sum=sum_of("cup", uri_words=0.13)))
    assert [hit.score for hit in hits] == pytest.approx([0.52, 0.4, 0.5], abs=1e-3)
    enough = replace(text, text_sum=sum_of("cup", uri_words=0.9), min_score=0.45)
    assert ids(index.search(enough)) == [mug, dog]
    assert ids(index.search(replace(enough, limit=1))) == [mug]


def test_nearness_to_all_labels_counts_for_all_points_or_for_none(index: PointIndex) -> None:
    rows = np.stack([unit(9, 1)[0], near(0.5, 1), near(0.52, 2)])
    image = embedded("a.jpg", rows)
    totals = (10.0, 14.0)
    objects = tuple(
        replace(record, naming=Naming((Label(MUG, 0.5),), total))
        for record, total in zip(image.objects, totals, strict=True)
    )
    first, second = (str(record.object_id) for record in objects)
    index.replace_images([replace(image, objects=objects, labelled_by="list one")])
    query = replace(
        IndexQuery(np.eye(1, DIM, dtype=np.float32)[0], 5, (where("kind", "=", "object"),)),
        text_sum=sum_of("zebra", label_logsumexp=-0.01),
    )
    assert ids(index.search(query)) == [first, second]
    other = embedded("b.jpg", np.stack([unit(9, 1)[0], near(0.3, 3)]))
    index.replace_images([other])
    last = str(other.objects[0].object_id)
    assert ids(index.search(query)) == [second, first, last]


def test_what_only_words_find_joins_the_nearest(index: PointIndex) -> None:
    """Of more points than a pool of the nearest holds, one far away has the word."""
    rows = np.stack([near(0.9 - n / 1000, 1 + n % 6) for n in range(150)])
    crowd = [embedded(f"{n}.jpg", np.stack([row, row])) for n, row in enumerate(rows)]
    far = named(embedded("far.jpg", np.stack([rows[0], near(0.1, 7)])), MUG)
    index.replace_images([*crowd, far])
    only = (where("kind", "=", "object"),)
    query = IndexQuery(np.eye(1, DIM, dtype=np.float32)[0], 10, only, words=query_words(["mug"]))
    mug = str(far.objects[0].object_id)
    weighed = replace(query, text_sum=sum_of("mug", label_words=2.0))
    assert ids(index.search(weighed))[0] == mug
    assert mug not in ids(index.search(replace(weighed, words=None)))
    assert len(index.search(replace(weighed, limit=150))) == 150
    assert index.count_up_to(100, only) == 100
    assert index.count_up_to(400, only) == 151
    assert index.count_up_to(1, (where("labels", "=", "mug"),)) == 1
    assert index.count_up_to(1, (where("labels", "=", "cup"),)) == 0


def test_the_best_of_several_examples_ranks(index: PointIndex) -> None:
    vectors = np.eye(DIM, dtype=np.float32)
    between = (vectors[0] + vectors[1]) / np.float32(np.sqrt(2))
    images = [
        embedded(f"{name}.jpg", np.stack([vectors[7], vector]))
        for name, vector in (("first", vectors[0]), ("second", vectors[1]), ("between", between))
    ]
    index.replace_images(images)
    first, second, middle = (str(image.objects[0].object_id) for image in images)
    query = IndexQuery(between, 3, (where("kind", "=", "object"),))
    assert ids(index.search(query))[0] == middle
    either = replace(query, liked=vectors[:2])
    assert set(ids(index.search(either))[:2]) == {first, second}
    against = replace(either, disliked=vectors[1:2])
    assert ids(index.search(against))[0] == first


def test_variety_prefers_what_differs(index: PointIndex) -> None:
    rng = np.random.default_rng(0)
    base = np.eye(1, DIM, dtype=np.float32)[0]
    alike = np.stack([base + 0.01 * rng.standard_normal(DIM).astype(np.float32) for _ in range(5)])
    other = np.array([[0.8, 0.6, *([0] * (DIM - 2))]], np.float32)
    images = [
        embedded(f"{n}.jpg", np.stack([unit(9, 1)[0], vector]))
        for n, vector in enumerate(np.concatenate([alike, other]))
    ]
    index.replace_images(images)
    query = IndexQuery(base, 2, (where("kind", "=", "object"),))
    different = str(images[-1].objects[0].object_id)
    assert different not in ids(index.search(query))
    assert different in ids(index.search(replace(query, diversity=0.7)))


def test_groups_hold_the_best_of_each_image_together(index: PointIndex) -> None:
    images = [embedded(f"{n}.jpg", unit(n, 6)) for n in range(5)]
    index.replace_images(images)
    query = IndexQuery(unit(50, 1)[0], 100, (where("kind", "=", "object"),))
    everything = index.search(query)
    of_image: dict[str, list[str]] = {}
    for hit in everything:
        of_image.setdefault(hit.payload.image_id, []).append(hit.object_id)
    grouped = index.search(replace(query, limit=3, group_size=2))
    expected = [
        identity for identities in list(of_image.values())[:3] for identity in identities[:2]
    ]
    assert ids(grouped) == expected
    worded = replace(query, limit=3, group_size=2, words=query_words(["zebra"]))
    assert ids(index.search(worded)) == expected


def test_what_is_left_out_makes_room(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 9))])
    query = IndexQuery(unit(1, 1)[0], 4, (where("kind", "=", "object"),))
    everything = ids(index.search(replace(query, limit=100)))
    for exact in (False, True):
        without = replace(query, without=frozenset(everything[:2]), exact=exact)
        assert ids(index.search(without)) == everything[2:6]


def test_points_get_other_labels_and_words(index: PointIndex) -> None:
    image = named(embedded("a.jpg", unit(0, 3)), MUG, DOG)
    index.replace_images([image])
    cat = (Label(LabelEntry("cat", ("pet",)), 0.9),)
    uri = "s3://photos/a.jpg"
    first, second = image.objects
    gone = PointLabels(str(uuid.UUID(int=9)), Naming(cat, 1.0), words_of(cat, uri))
    index.relabel(
        [PointLabels(str(first.object_id), Naming(cat, 3.0), words_of(cat, uri)), gone], "two"
    )
    points = {point.id: point for point in index.scroll()}
    assert len(points) == 3
    changed = points[str(first.object_id)].parse_payload()
    assert (changed.labels, changed.labelled_by) == (("cat",), "two")
    assert (changed.label_scores, changed.label_logsumexp) == ((0.9,), 3.0)
    assert points[str(second.object_id)].parse_payload().labels == ("dog",)
    stored = index.stored([first.object_id])[first.object_id]
    np.testing.assert_allclose(stored.vector, first.vectors["clip"], atol=1e-6)
    for word, found in (("cat", first), ("dog", second)):
        query = IndexQuery(unit(7, 1)[0], 1, (where("kind", "=", "object"),))
        hits_of_word = index.search(replace(query, words=query_words([word]), limit=2))
        ranked = ids(hits_of_word)
        assert str(found.object_id) in ranked
    assert [(facet.value, facet.count) for facet in index.facet("labelled_by")] == [
        ("list one", 2),
        ("two", 1),
    ]


def test_an_older_folder_gets_words_and_indexes_when_it_is_opened(tmp_path: Path) -> None:

    folder = tmp_path / "index"
    image = embedded("a.jpg", unit(0, 3))
    with edge_opening.build(options_for(str(folder)), DIM, create=True) as made:
        made.replace_images([image])
    shard = qdrant_edge.EdgeShard.load(str(folder / "points"))
    shard.update(qdrant_edge.UpdateOperation.delete_vector_name("words"))
    shard.update(qdrant_edge.UpdateOperation.delete_field_index("labels"))
    shard.flush()
    shard.close()
    with edge_opening.build(options_for(str(folder)), DIM) as again:
        assert len(list(again.scroll())) == 3
        again.replace_images([named(image, MUG, DOG)])
        found = again.search(IndexQuery(unit(3, 1)[0], 1, words=query_words(["mug"])))
        assert len(found) == 1
        assert again.facet("labels")[0].value in ("mug", "dog")
