"""The figures of `objseek eval`, on an index whose right scores are known by construction."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.word_world import (
    HW,
    IMAGES,
    TRUTH,
    WordEmbedder,
    annotation,
    box_mask,
    embedded,
    give_labels,
    index_of,
    one_hot,
)

from pipeline.evaluation.matching import must_be_found
from pipeline.evaluation.presence import LabelQuery, calibration_error, measure_presence
from pipeline.evaluation.scores import Scores, score
from pipeline.search.searcher import Searcher
from schemas.coco import CocoImage, CocoTruth
from schemas.coco_reader import load_truth
from schemas.errors import DatasetError, UsageError
from schemas.images import ImageRef
from schemas.labels import LabelEntry
from schemas.masks import CocoRle
from schemas.points import Point
from schemas.search import Relevance, SearchQuery
from workers.protocols import VectorIndex


def score_index(truth: CocoTruth, index: VectorIndex) -> Scores:
    return score(truth, Searcher(index, WordEmbedder()))


def test_a_perfect_index_scores_one(tmp_path: Path) -> None:
    images = [
        embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))]),
        embedded(2, [(0, (10, 10, 40, 40)), (2, (45, 45, 60, 60))]),
    ]
    scores = score_index(TRUTH, index_of(tmp_path, images))
    assert scores.object_recall_50 == scores.object_recall_75 == scores.mean_iou == 1
    assert scores.label_r1 == scores.label_r10 == scores.keyword_r10 == scores.similar_r10 == 1
    # Nothing is labelled here: there are no words, and nothing tells how likely hits are.
    assert (scores.hybrid_keyword_r10, scores.absent_weak, scores.keyword_r1) == (None, None, 1)
    assert (scores.images, scores.objects) == (2, 4)


def test_searches_are_scored_as_they_are_shown(tmp_path: Path) -> None:
    images = [
        embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))]),
        embedded(2, [(0, (10, 10, 40, 40)), (2, (45, 45, 60, 60))]),
    ]
    # By their vectors all are found. By its label, of which it is sure, the car is a fruit.
    plum, other = LabelEntry("plum", ("fruit",)), (LabelEntry("thing"), 0.9, 99.0)
    guesses = (other, (plum, 1.0, 9.0)), (other, other)
    labelled = [
        give_labels(image, of_image) for image, of_image in zip(images, guesses, strict=True)
    ]
    scores = score_index(TRUTH, index_of(tmp_path, labelled))
    assert (scores.label_r1, scores.keyword_r1) == (1, 1)
    assert (scores.hybrid_label_r1, scores.hybrid_label_r10) == (1, 1)
    assert (scores.hybrid_keyword_r1, scores.hybrid_keyword_r10) == (0.5, 1)
    assert (scores.present_weak, scores.absent_weak) == (0, 1)


def test_what_is_weak_and_how_true_probabilities_are(tmp_path: Path) -> None:
    image = embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))])
    with Searcher(index_of(tmp_path, [image]), WordEmbedder()) as searcher:
        hit = searcher.search(SearchQuery(text="apple")).hits[0]

    def query(present: bool, *shown: tuple[float, str, bool]) -> LabelQuery:
        hits = [
            hit.model_copy(update={"probability": probability, "relevance": Relevance(relevance)})
            for probability, relevance, _ in shown
        ]
        return LabelQuery("apple", present, tuple(hits), tuple(right for *_, right in shown))

    found = measure_presence(
        [
            query(True, (0.8, "strong", True), (0.2, "likely", False)),
            query(True, (0.05, "weak", True)),
            query(False, (0.2, "likely", False)),
            query(False),
        ]
    )
    assert (found.present_weak, found.absent_weak, found.unlearnt_texts) == (0.5, 0.5, 0)
    # Of first hits: one of 0.8 and one of 0.05 right, one of 0.2 wrong.
    assert found.first_calibration_error == pytest.approx((0.2 + 0.95 + 0.2) / 3)
    assert found.calibration_error == pytest.approx((0.2 + 0.95 + 2 * 0.2) / 4)
    assert calibration_error(np.array([0.5, 0.5]), np.array([True, False])) == 0
    weak = hit.model_copy(update={"relevance": Relevance.WEAK})
    unlearnt = LabelQuery("zebu", True, (weak,), (True,), learnt=False)
    learnt = query(True, (0.8, "strong", True))
    found = measure_presence([learnt, unlearnt, query(False)])
    assert (found.present_weak, found.absent_weak, found.unlearnt_texts) == (0, 1, 0.5)
    unlabelled = LabelQuery("apple", True, (hit,), (True,))
    assert measure_presence([unlabelled, query(False)]).present_weak is None


def test_missed_loose_and_misread_objects_cost_what_they_should(tmp_path: Path) -> None:
    images = [
        # The apple's mask is 20 x 12 of 20 x 20: IoU 0.6. The car is not found.
        embedded(1, [(0, (0, 0, 20, 12))]),
        # The apple is embedded as if it were a dog, and the dog as something else.
        embedded(2, [(2, (10, 10, 40, 40)), (5, (45, 45, 60, 60))]),
    ]
    scores = score_index(TRUTH, index_of(tmp_path, images))
    assert scores.object_recall_50 == 3 / 4
    assert scores.object_recall_75 == 2 / 4
    assert scores.mean_iou == pytest.approx((0.6 + 1 + 1) / 3)
    # apple: right at once; car: not there; dog: second, since the apple looks like one.
    assert scores.label_r1 == pytest.approx(1 / 3)
    assert scores.label_r10 == pytest.approx(2 / 3)
    assert scores.keyword_r10 == 1


def test_small_hidden_and_crowded_objects_do_not_count() -> None:
    image = CocoImage(id=1, file_name="a.jpg", width=640, height=480)
    large = annotation(1, 1, 1, (0, 0, 32, 10))
    assert must_be_found(large, image)
    assert not must_be_found(large.model_copy(update={"bbox": (0, 0, 31, 31)}), image)
    assert not must_be_found(large.model_copy(update={"visible_fraction": 0.49}), image)
    assert not must_be_found(large.model_copy(update={"iscrowd": 1}), image)
    double = image.model_copy(update={"width": 1280, "height": 960})
    assert not must_be_found(large, double)


def test_truth_of_other_images_is_refused(tmp_path: Path) -> None:
    index = index_of(tmp_path, [embedded(9, [(0, (0, 0, 20, 20))])])
    with pytest.raises(UsageError, match="no image of the ground truth is in the index"):
        score_index(TRUTH, index)


def test_truth_of_other_sizes_is_refused(tmp_path: Path) -> None:
    index = index_of(tmp_path, [embedded(1, [(0, (0, 0, 20, 20))])])
    wide = TRUTH.images[0].model_copy(update={"width": 99})
    truth = TRUTH.model_copy(update={"images": [wide, *TRUTH.images[1:]]})
    with pytest.raises(UsageError, match=r"as 99 x 64 pixels, the index has .* as 64 x 64"):
        score_index(truth, index)


def test_annotations_of_unlisted_images_or_categories_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    for name, owner in (("image_id", "an image"), ("category_id", "a category")):
        stray = TRUTH.annotations[0].model_copy(update={name: 77})
        path.write_text(TRUTH.model_copy(update={"annotations": [stray]}).model_dump_json())
        sentence = rf"annotation 1 \(id 1\): expected the id of {owner}, got 77"
        with pytest.raises(DatasetError, match=sentence):
            load_truth(path)


def test_all_three_coco_forms_give_the_same_mask() -> None:
    box = (4, 6, 20, 30)
    as_string = annotation(1, 1, 1, box)
    rle = CocoRle.from_mask(box_mask(*box))
    as_list = as_string.model_copy(
        update={"segmentation": {"size": list(HW), "counts": rle.runs().tolist()}}
    )
    polygon = [[4.0, 6.0, 20.0, 6.0, 20.0, 30.0, 4.0, 30.0]]
    as_polygon = as_string.model_copy(update={"segmentation": polygon})
    forms = [a.to_rle((64, 64)) for a in (as_string, as_list, as_polygon)]
    assert forms == [rle] * 3


def test_what_is_not_coco_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    with pytest.raises(DatasetError, match="expected a COCO file"):
        load_truth(path)
    path.write_text('{"images": [{"id": 1}]}')
    with pytest.raises(DatasetError, match="image 1: expected file_name, there is none"):
        load_truth(path)


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ({"size": [64, 64], "counts": "abc"}, "the RLE string ends within a number"),
        ({"size": [64, 64], "counts": [4000, 95]}, "the RLE does not cover 64 x 64 pixels"),
        ({"size": [64, 32], "counts": [2048]}, r"expected a mask of \[64, 64\]"),
        ([[0, 0, 9e9, 0, 9, 9]], "expected polygons within 64 x 64 pixels"),
        ([], r"expected an RLE or polygons, got \[\]"),
    ],
)
def test_a_broken_mask_is_refused_with_its_place(
    segmentation: object, sentence: str, tmp_path: Path
) -> None:
    broken = TRUTH.annotations[1].model_copy(update={"segmentation": segmentation})
    truth = TRUTH.model_copy(update={"annotations": [TRUTH.annotations[0], broken]})
    path = tmp_path / "truth.json"
    path.write_text(truth.model_dump_json())
    with pytest.raises(DatasetError, match=rf"truth.json, annotation 2 \(id 2\): {sentence}"):
        load_truth(path, strict=True)


@pytest.mark.trials
@pytest.mark.parametrize(
    "changes",
    [
        {"rle": {"size": [64, 64], "counts": "0"}},
        {"rle": {"size": [32, 128], "counts": CocoRle.from_mask(box_mask(0, 0, 9, 9)).counts}},
        {"rle": {"size": [64, 64], "counts": "PPPPPPPPPP"}},
        {"rle": "x"},
        {"rle": None},
    ],
)
def test_a_broken_mask_of_the_index_matches_nothing(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    images = [
        embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))]),
        embedded(2, [(0, (10, 10, 40, 40)), (2, (45, 45, 60, 60))]),
    ]
    index = index_of(tmp_path, images)
    broken = images[1].objects[1].object_id
    point = index.stored([broken])[broken]
    payload = {**point.payload, **changes}
    kept = {name: value for name, value in payload.items() if value is not None}
    index.restore([Point(point.id, kept, point.vector)])
    scores = score_index(TRUTH, index)
    assert (scores.object_recall_50, scores.mean_iou, scores.objects) == (3 / 4, 1, 4)
    assert scores.label_r1 == pytest.approx(2 / 3)
    assert index.count_broken() == ("rle" in kept)


@pytest.mark.trials
def test_points_of_other_programs_are_left_out(tmp_path: Path) -> None:
    image = embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))])
    index = index_of(tmp_path, [image])
    for payload in (
        {},
        {"kind": "object"},
        {"kind": "object", "uri": 5},
        {"key": ["photos/1.jpg"]},
    ):
        index.restore([Point(str(uuid.uuid4()), payload, one_hot(4))])
    scores = score_index(TRUTH, index)
    assert scores.object_recall_50 == 2 / 4


@pytest.mark.trials
def test_entries_of_one_image_are_joined_in_a_truth(tmp_path: Path) -> None:
    images = [
        embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))]),
        embedded(2, [(0, (10, 10, 40, 40)), (2, (45, 45, 60, 60))]),
    ]
    again = IMAGES[0].model_copy(update={"id": 7, "file_name": "./photos/1.jpg"})
    moved = TRUTH.annotations[1].model_copy(update={"image_id": 7})
    annotations = [TRUTH.annotations[0], moved, *TRUTH.annotations[2:]]
    truth = TRUTH.model_copy(update={"images": [*IMAGES, again], "annotations": annotations})
    scores = score_index(truth, index_of(tmp_path, images))
    assert (scores.object_recall_50, scores.images, scores.objects) == (1, 2, 4)


@pytest.mark.trials
@pytest.mark.parametrize("key", ["my photo.jpg", "süß/100%.jpg", "a+b#c?.jpg", "%41.jpg"])
@pytest.mark.parametrize("store", ["s3", "file"])
def test_names_that_a_uri_quotes_are_found(tmp_path: Path, store: Any, key: str) -> None:
    image = embedded(1, [(0, (0, 0, 20, 20))])
    folder = "/photos/" if store == "file" else ""
    ref = ImageRef(store, "" if store == "file" else "b", folder + key, "v", 1)
    index = index_of(tmp_path, [replace(image, ref=ref)])
    truth = TRUTH.model_copy(
        update={
            "images": [IMAGES[0].model_copy(update={"file_name": key})],
            "annotations": TRUTH.annotations[:1],
        }
    )
    assert score_index(truth, index).object_recall_50 == 1


@pytest.mark.trials
def test_the_longest_name_that_fits_is_the_image(tmp_path: Path) -> None:
    index = index_of(tmp_path, [embedded(1, [(0, (0, 0, 20, 20))])])
    short = IMAGES[0].model_copy(update={"id": 3, "file_name": "1.jpg"})
    truth = TRUTH.model_copy(
        update={"images": [short, IMAGES[0]], "annotations": TRUTH.annotations[:1]}
    )
    assert score_index(truth, index).object_recall_50 == 1


@pytest.mark.trials
def test_a_truth_without_anything_to_find_has_no_recall(tmp_path: Path) -> None:
    index = index_of(tmp_path, [embedded(1, [(0, (0, 0, 20, 20))])])
    scores = score_index(TRUTH.model_copy(update={"annotations": []}), index)
    assert (scores.object_recall_50, scores.label_r1, scores.objects) == (None, None, 0)
