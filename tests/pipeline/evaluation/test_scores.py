"""The figures of `objseek eval`, on an index whose right scores are known by construction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.matching import must_be_found
from pipeline.evaluation.presence import LabelQuery, calibration_error, measure_presence
from pipeline.evaluation.scores import Scores, score
from pipeline.search.searcher import Searcher
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.coco_reader import load_truth
from schemas.errors import DatasetError, UsageError
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import ImageRef
from schemas.labels import Label, LabelEntry, Naming
from schemas.masks import CocoRle, ObjectMask
from schemas.options import IndexOptions
from schemas.points import Point
from schemas.records import EmbeddedImage, Float32Matrix, ImageRecord, ObjectRecord
from schemas.search import Relevance, SearchQuery
from workers.indexes.open import open_index
from workers.protocols import UInt8Crops, VectorIndex

DIM = 8
HW = (64, 64)
WORDS = {"apple": 0, "car": 1, "dog": 2, "fruit": 0, "pet": 2}
CATEGORIES = [
    CocoCategory(id=1, name="apple", keywords=["fruit"]),
    CocoCategory(id=2, name="car"),
    CocoCategory(id=3, name="dog", keywords=["pet"]),
]


def one_hot(position: int) -> np.ndarray:
    vector = np.zeros(DIM, np.float32)
    vector[position] = 1
    return vector


class WordEmbedder:
    """Knows a few words; images it has never seen."""

    name, dim, fingerprint = "fake", DIM, "f"

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        return np.stack([one_hot(WORDS[text]) for text in texts])

    def knows_text(self, text: str) -> bool:
        return text in WORDS

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        raise NotImplementedError

    def forget_texts(self) -> None:
        raise NotImplementedError


def score_index(truth: CocoTruth, index: VectorIndex) -> Scores:
    return score(truth, Searcher(index, WordEmbedder()))


def box_mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(HW, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def annotation(number: int, image: int, category: int, box: tuple[int, ...], style: str = "a"):
    rle = CocoRle.from_mask(box_mask(*box))
    x0, y0, x1, y1 = box
    return CocoAnnotation(
        id=number,
        image_id=image,
        category_id=category,
        bbox=(x0, y0, x1 - x0, y1 - y0),
        area=rle.area_px,
        segmentation={"size": list(HW), "counts": rle.counts},
        style=style,
    )


def embedded(image: int, objects: list[tuple[int, tuple[int, ...]]]) -> EmbeddedImage:
    ref = ImageRef("s3", "b", f"photos/{image}.jpg", "v", 1)
    revision = ImageRevision("v", "f")

    def new_id(ordinal: int) -> uuid.UUID:
        return object_id(image_id(ref), revision, ordinal)

    records = []
    for ordinal, (position, box) in enumerate(objects):
        rle = CocoRle.from_mask(box_mask(*box))
        mask = ObjectMask(rle, box, rle.area_px, 0.9, 0.9, (box[0] + 0.5, box[1] + 0.5))
        records.append(ObjectRecord(new_id(ordinal), mask, {"clip": one_hot(position)}))
    whole = ImageRecord(new_id(IMAGE_ORDINAL), {"clip": one_hot(7)})
    return EmbeddedImage(ref, HW, revision, "fake", "fake", whole, tuple(records))


def index_of(tmp_path: Path, images: list[EmbeddedImage]) -> VectorIndex:
    index = open_index(IndexOptions(location=str(tmp_path / "index")), DIM, create=True)
    index.replace_images(images)
    return index


IMAGES = [CocoImage(id=n, file_name=f"photos/{n}.jpg", width=64, height=64) for n in (1, 2)]
TRUTH = CocoTruth(
    images=IMAGES,
    categories=CATEGORIES,
    annotations=[
        annotation(1, 1, 1, (0, 0, 20, 20), "a"),
        annotation(2, 1, 2, (30, 30, 60, 60), "a"),
        annotation(3, 2, 1, (10, 10, 40, 40), "b"),
        annotation(4, 2, 3, (45, 45, 60, 60), "a"),
    ],
)


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
        replace(
            image,
            objects=tuple(
                replace(record, naming=Naming((Label(entry, score),), total))
                for record, (entry, score, total) in zip(image.objects, of_image, strict=True)
            ),
            labelled_by="list",
        )
        for image, of_image in zip(images, guesses, strict=True)
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
