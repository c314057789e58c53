"""Ranks of texts and objects, on scenes small enough to rank by hand."""

import numpy as np
from support.object_masks import object_mask

from bench.view_scores import Bootstrap, Gallery, Queries, fill_box, rank_queries, reciprocal
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.masks import CocoRle

SIZE = (40, 40)


def block(left, width=10):
    mask = np.zeros(SIZE, bool)
    mask[5:35, left : left + width] = True
    return mask


def annotate(number, image, category, style, mask):
    rle = CocoRle.from_mask(mask)
    return CocoAnnotation(
        id=number,
        image_id=image,
        category_id=category,
        bbox=(0, 0, 30, 30),
        area=int(mask.sum()),
        segmentation={"size": list(SIZE), "counts": rle.counts},
        style=style,
    )


def make_truth():
    """Two scenes with a cat each, in two styles, and a dog in the first."""
    images = [CocoImage(id=n, file_name=f"{n}.jpg", width=SIZE[1], height=SIZE[0]) for n in (1, 2)]
    categories = [
        CocoCategory(id=1, name="cat", keywords=["pet"]),
        CocoCategory(id=2, name="dog", keywords=["pet"]),
    ]
    annotations = [
        annotate(1, 1, 1, "flat", block(0)),
        annotate(2, 1, 2, "flat", block(20)),
        annotate(3, 2, 1, "round", block(0)),
    ]
    return CocoTruth(images=images, annotations=annotations, categories=categories)


def test_queries_are_labels_and_keywords_and_what_another_style_is_of():
    queries = Queries.of(make_truth())
    assert queries.texts == ["cat", "dog", "pet", "pet"]
    assert queries.right == [{1}, {2}, {1, 2}, {1, 2}]
    assert [item.id for item in queries.objects] == [1, 3]
    assert queries.groups.tolist() == [0, 1]


def test_overlapping_hits_count_once_and_the_same_scene_not_at_all():
    truth = make_truth()
    found = [
        [object_mask(block(0)), object_mask(block(1)), object_mask(block(20))],
        [object_mask(block(0)), object_mask(block(29))],
    ]
    gallery = Gallery.of(truth, found)
    assert [None if a is None else a.id for a in gallery.shown] == [1, 1, 2, 3, None]
    assert gallery.masks_of == {1: [0, 1], 2: [2], 3: [3]}
    assert gallery.overlaps == {(n, n) for n in range(5)} | {(0, 1), (1, 0)}
    vectors = np.eye(5, dtype=np.float32)
    # For "dog" both masks of the cat come first, of which the better one counts, and the scrap.
    texts = np.array(
        [[1, 0, 0, 0, 0], [5, 4, 1, 0, 3], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]], np.float32
    )
    ranks = rank_queries(gallery, vectors, texts, Queries.of(truth))
    assert ranks.texts.tolist() == [0, 2, 1, 0]
    vectors[3], vectors[4] = [0.5, 0, 0.9, 0.1, 0], [0.7, 0.7, 0, 0, 0.1]
    ranks = rank_queries(gallery, vectors, texts, Queries.of(truth))
    # Of the first cat: the scrap, then the other cat. Of that one: the dog, then the first cat.
    assert ranks.objects.tolist() == [1, 1]
    assert reciprocal(np.array([0, 1, 9, 10])).tolist() == [1, 0.5, 0.1, 0]


def test_what_was_not_found_finds_nothing():
    truth = make_truth()
    gallery = Gallery.of(truth, [[object_mask(block(0))], []])
    texts = np.ones((4, 2), np.float32)
    ranks = rank_queries(gallery, np.ones((1, 2), np.float32), texts, Queries.of(truth))
    assert ranks.texts.tolist() == [0, 10, 0, 0]
    assert ranks.objects.tolist() == [10, 10]


def test_boxes_show_what_they_are_the_boxes_of():
    corner = block(0, 30)
    corner[6:, 1:] = False
    truth = make_truth()
    truth.annotations[0] = annotate(1, 1, 1, "flat", corner)
    box = object_mask(fill_box(CocoRle.from_mask(corner)).decode())
    assert box.area_px == 900
    assert Gallery.of(truth, [[box], []]).shown == [None]
    shown = Gallery.of(truth, [[box], []], boxes=True).shown
    assert [None if a is None else a.id for a in shown] == [1]


def test_the_interval_is_of_groups_drawn_anew():
    values = np.repeat([0.0, 1.0], 50)
    apart, together = Bootstrap(np.arange(100)).mean(values), Bootstrap(values > 0).mean(values)
    assert apart.value == together.value == 0.5
    assert (together.low, together.high) == (0, 1)
    # 0.5 -+ 1.96 * 0.05
    assert abs(apart.low - 0.402) < 0.015
    assert abs(apart.high - 0.598) < 0.015
