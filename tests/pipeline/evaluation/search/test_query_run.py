"""Judged queries on an index whose answers are known by construction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.word_world import (
    CATEGORIES,
    IMAGES,
    TRUTH,
    WordEmbedder,
    annotation,
    embedded,
    give_labels,
    index_of,
    paint_truth,
)

from pipeline.evaluation.scores import score
from pipeline.evaluation.search.figures import measure_results
from pipeline.evaluation.search.query_file import JudgedQuery, QueryLine
from pipeline.evaluation.search.query_result import QueryKind, QueryResult, Verdict
from pipeline.evaluation.search.query_run import QueryRun
from pipeline.evaluation.search.spread import (
    bin_probabilities,
    count_ranks,
    list_mistaken,
    list_worst,
    trace_recall,
)
from pipeline.evaluation.search.suggestion import suggest_from_index, suggest_from_truth
from pipeline.evaluation.search.true_objects import TrueObjects
from pipeline.search.searcher import Searcher
from schemas.coco import CocoTruth
from schemas.errors import DatasetError, UsageError
from schemas.labels import LabelEntry
from schemas.records import EmbeddedImage
from schemas.search import Relevance, SearchQuery

RIGHT, AGAIN, EXTRA, WRONG, UNJUDGED = Verdict
UNKNOWN_ID = "11111111-2222-5333-8444-555555555555"
THING = (LabelEntry("thing"), 0.9, 99.0)
"""What all objects are called, so that it is known how likely a text is."""


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """Two apples, a car and a dog, in two images."""
    labelled = [give_labels(image, [THING, THING]) for image in paint_truth()]
    with Searcher(index_of(tmp_path_factory.mktemp("world"), labelled), WordEmbedder()) as opened:
        yield opened


def ask(
    searcher: Searcher,
    *queries: dict[str, Any],
    truth: CocoTruth | None = TRUTH,
    **options: Any,
) -> list[QueryResult]:
    lines = [
        QueryLine(Path("q.jsonl"), number, JudgedQuery.model_validate(query))
        for number, query in enumerate(queries, start=1)
    ]
    known = None if truth is None else TrueObjects(truth, searcher.index)
    run = QueryRun(searcher, known, **options)
    run.check(lines)
    return list(run.run(lines))


def verdicts_of(result: QueryResult) -> list[Verdict]:
    return [hit.verdict for hit in result.hits]


def find_ids(searcher: Searcher, text: str) -> list[str]:
    return [hit.object_id for hit in searcher.search(SearchQuery(text=text)).hits]


def name_objects(image: EmbeddedImage, labels: Sequence[str | None]) -> EmbeddedImage:
    objects = tuple(
        replace(
            record,
            mask=replace(
                record.mask, segmenter_label=label, segmenter_score=None if label is None else 0.9
            ),
        )
        for record, label in zip(image.objects, labels, strict=True)
    )
    return replace(image, objects=objects)


def test_labels_are_right_where_the_truth_has_them(searcher: Searcher) -> None:
    apple, dog, none = ask(
        searcher,
        {"text": "apple", "right": {"labels": ["apple"]}},
        {"text": "dog", "right": {"labels": ["dog", "car"]}},
        {"text": "pet", "right": {}},
    )
    assert verdicts_of(apple) == [RIGHT, RIGHT, WRONG, WRONG]
    assert (apple.wanted, apple.first_rank, apple.relevance) == (2, 1, Relevance.STRONG)
    assert [hit.shows for hit in apple.hits[:2]] == ["apple", "apple"]
    assert {hit.shows for hit in apple.hits[2:]} == {"car", "dog"}
    assert (dog.wanted, dog.hits[0].shows, verdicts_of(dog)[0]) == (2, "dog", RIGHT)
    assert verdicts_of(dog).count(RIGHT) == 2
    assert (none.wanted, set(verdicts_of(none)), none.first_rank) == (0, {WRONG}, None)


def test_hits_are_those_of_a_search(searcher: Searcher) -> None:
    query = {"text": "car", "filter": ["uri^=s3://b/photos/"], "right": {"labels": ["car"]}}
    (car,) = ask(searcher, query, limit=3)
    conditions = JudgedQuery.model_validate(query).conditions
    page = searcher.search(SearchQuery(text="car", limit=3, conditions=conditions))
    assert [(hit.object_id, hit.probability) for hit in car.hits] == [
        (hit.object_id, hit.probability) for hit in page.hits
    ]
    assert car.relevance is page.relevance
    assert len(car.hits) == 3


def test_figures_agree_with_those_of_labels(searcher: Searcher) -> None:
    labels = [category.name for category in CATEGORIES]
    results = ask(searcher, *({"text": name, "right": {"labels": [name]}} for name in labels))
    figures = measure_results(results, 10).figures
    scores = score(TRUTH, searcher)
    assert figures["success_1"].value == scores.hybrid_label_r1
    assert figures["success_10"].value == scores.hybrid_label_r10
    assert figures["present_weak"].value == scores.present_weak


def test_ids_are_right_and_unknown_ones_never_found(searcher: Searcher) -> None:
    first, second, *_ = find_ids(searcher, "apple")
    run = QueryRun(searcher)
    query = {"text": "apple", "right": {"objects": [second, UNKNOWN_ID, second]}}
    line = QueryLine(Path("q.jsonl"), 1, JudgedQuery.model_validate(query))
    (result,) = run.run([line])
    assert verdicts_of(result) == [WRONG, RIGHT, WRONG, WRONG]
    assert (result.wanted, run.unknown_ids) == (2, [UNKNOWN_ID])
    assert result.hits[0].object_id == first
    assert result.hits[0].shows == "thing"  # without a truth, what the index calls it


def test_two_masks_of_an_object_are_one(tmp_path: Path) -> None:
    # Each half has an IoU of 0.5 with the apple, and hides the whole, or is hidden by it.
    halves = [(0, (10, 10, 40, 25)), (0, (10, 25, 40, 40))]
    images = [embedded(1, [(1, (30, 30, 60, 60))]), embedded(2, halves)]
    query = {"text": "apple", "right": {"labels": ["apple"]}}
    with Searcher(index_of(tmp_path, images), WordEmbedder()) as searcher:
        (apple,) = ask(searcher, query)
        assert verdicts_of(apple) == [RIGHT, AGAIN, WRONG]
        assert apple.wanted == 2
        (strict,) = ask(searcher, query, least_iou=0.6)
        assert verdicts_of(strict) == [WRONG] * 3
    whole = [embedded(2, [halves[0], (0, (10, 10, 40, 40))])]
    ids = [str(record.object_id) for record in whole[0].objects]
    with Searcher(index_of(tmp_path / "whole", whole), WordEmbedder()) as searcher:
        (apple,) = ask(searcher, {"text": "apple", "right": {"objects": ids}}, truth=None)
        assert (apple.wanted, verdicts_of(apple)) == (1, [RIGHT])


def test_an_object_is_searched_with_elsewhere(searcher: Searcher) -> None:
    apple = find_ids(searcher, "apple")[0]
    point = searcher.find(apple)
    assert point is not None
    by_id, by_box = ask(
        searcher,
        {"object": apple, "right": {"labels": ["apple"]}},
        {
            "image": point.payload["uri"],
            "box_xyxy": point.payload["bbox"],
            "right": {"labels": ["apple"]},
        },
    )
    assert (by_id.kind, by_id.wanted, by_id.first_rank) == (QueryKind.OBJECT, 1, 1)
    assert (by_box.kind, by_box.wanted, by_box.first_rank) == (QueryKind.IMAGE, 1, 1)
    # The other object of its image counts neither way, nor does itself, which a box finds.
    assert sorted(verdicts_of(by_id)) == [RIGHT, UNJUDGED, WRONG]
    assert sorted(verdicts_of(by_box)) == [RIGHT, UNJUDGED, UNJUDGED, WRONG]
    assert (by_box.hits[0].object_id, verdicts_of(by_box)[0]) == (apple, UNJUDGED)
    # Where ids are right, the rest of its image is wrong.
    box = {"image": point.payload["uri"], "box_xyxy": point.payload["bbox"]}
    (by_box,) = ask(searcher, {**box, "right": {"objects": []}}, truth=None)
    assert (by_box.wanted, verdicts_of(by_box)) == (0, [UNJUDGED, WRONG, WRONG, WRONG])


def test_a_filter_on_images_says_where_is_looked(searcher: Searcher) -> None:
    right = {"labels": ["apple"]}
    elsewhere, by_size = ask(
        searcher,
        {"text": "apple", "filter": ["uri!=s3://b/photos/1.jpg"], "right": right},
        # What an object is like does not say what should have been found.
        {"text": "apple", "filter": ["area_frac>0.15"], "right": right},
    )
    assert (elsewhere.wanted, verdicts_of(elsewhere)) == (1, [RIGHT, WRONG])
    assert (by_size.wanted, by_size.gains) == (2, (True, False))
    (gone,) = ask(
        searcher,
        {"text": "dog", "filter": ["uri!=s3://b/photos/2.jpg"], "right": {"labels": ["dog"]}},
    )
    assert gone.wanted == 0


def test_images_without_a_truth_are_not_judged(searcher: Searcher) -> None:
    truth = TRUTH.model_copy(update={"images": [IMAGES[0]], "annotations": TRUTH.annotations[:2]})
    (apple,) = ask(searcher, {"text": "apple", "right": {"labels": ["apple"]}}, truth=truth)
    assert apple.wanted == 1
    assert sorted(verdicts_of(apple)) == [RIGHT, UNJUDGED, UNJUDGED, WRONG]
    more = TRUTH.model_copy(
        update={"images": [*IMAGES, IMAGES[0].model_copy(update={"id": 9, "file_name": "9.jpg"})]}
    )
    assert TrueObjects(more, searcher.index).missing == 1


def test_what_is_hidden_need_not_be_found(searcher: Searcher) -> None:
    hidden = TRUTH.annotations[0].model_copy(update={"visible_fraction": 0.1})
    truth = TRUTH.model_copy(update={"annotations": [hidden, *TRUTH.annotations[1:]]})
    query = {"text": "apple", "right": {"labels": ["apple"]}}
    (apple,) = ask(searcher, query, truth=truth)
    assert (apple.wanted, sorted(verdicts_of(apple))) == (1, [EXTRA, RIGHT, WRONG, WRONG])
    truth = TRUTH.model_copy(update={"annotations": [hidden, *TRUTH.annotations[1:2]]})
    (apple,) = ask(searcher, query, truth=truth)
    assert apple.wanted is None
    figures = measure_results([apple], 10)
    assert (figures.present, figures.absent, "mrr" in figures.figures) == (0, 0, False)


def test_a_query_that_cannot_be_asked_is_named_by_its_line(searcher: Searcher) -> None:
    fine = {"text": "apple", "right": {}}
    labelled = {"text": "apple", "right": {"labels": ["pear"]}}
    with pytest.raises(DatasetError, match=r"q.jsonl, line 2: expected labels of the .* 'pear'"):
        ask(searcher, fine, labelled)
    with pytest.raises(DatasetError, match=r"line 2: expected --truth FILE for the labels pear"):
        ask(searcher, fine, labelled, truth=None)
    with pytest.raises(DatasetError, match=f"line 2: the index holds no object {UNKNOWN_ID}"):
        ask(searcher, fine, {"object": UNKNOWN_ID, "right": {}})
    image = "s3://b/photos/1.jpg"
    with pytest.raises(DatasetError, match=r"line 1: expected a box x0,y0,x1,y1 within .* 64 x 64"):
        ask(searcher, {"image": image, "box_xyxy": [0, 0, 99, 9], "right": {}})
    with pytest.raises(DatasetError, match="line 1: expected an image to search with, got"):
        ask(searcher, {"image": "none.jpg", "box_xyxy": [0, 0, 9, 9], "right": {}})


def test_what_lies_behind_the_figures(searcher: Searcher) -> None:
    results = ask(
        searcher,
        {"text": "apple", "right": {"labels": ["apple"]}},
        {"text": "car", "right": {"labels": ["dog"]}},  # the dog is behind the car
        {"text": "dog", "right": {}},
    )
    ranks = count_ranks(results)
    assert ranks[1] == 1
    assert sum(ranks.values()) == 2
    worst = list_worst(results, 5)
    assert [result.name for result in worst] == ["car"]
    assert [result.name for result in list_mistaken(results, 5)] == ["dog"]
    recall = trace_recall(results, 4)
    assert recall[0] == 0.25
    assert recall[3] == 1
    assert trace_recall([], 4) == []
    bins = bin_probabilities(results)
    assert sum(each.count for each in bins) == 12
    assert all(0 <= each.share <= 1 for each in bins)


def test_queries_are_suggested_from_a_truth(searcher: Searcher) -> None:
    categories = [*CATEGORIES, CATEGORIES[1].model_copy(update={"id": 9, "name": "pet"})]
    truth = TrueObjects(TRUTH.model_copy(update={"categories": categories}), searcher.index)
    suggestion = suggest_from_truth(truth, 12, 0)
    assert {query.text for query in suggestion.texts} == {"apple", "car", "dog"}
    assert all(query.right.labels == (query.text,) for query in suggestion.texts)
    pet, *others = suggestion.absent
    assert (pet.text, pet.filter, pet.right.labels) == ("pet", (), ())
    assert len(others) == 2
    assert len(suggestion.boxes) == 2  # of apples alone is there another elsewhere
    assert {query.image for query in suggestion.boxes} == {
        "s3://b/photos/1.jpg", "s3://b/photos/2.jpg",
    }  # fmt: skip
    dumped = [query.model_dump(exclude_defaults=True) for query in suggestion.queries]
    results = ask(searcher, *dumped)
    wanted = {"apple": 2, "car": 1, "dog": 1}
    for query, result in zip(suggestion.queries, results, strict=True):
        if query in suggestion.texts:
            assert result.wanted == wanted[str(query.text)]
        elif query in suggestion.boxes:
            assert (result.wanted, result.first_rank) == (1, 1)
        else:  # what is left out is in none of the images that are searched
            assert result.wanted == 0
            assert query.text not in [hit.shows for hit in result.hits]
    assert suggest_from_truth(truth, 12, 0) == suggestion
    fewer = suggest_from_truth(truth, 4, 0)
    assert [len(part) for part in (fewer.texts, fewer.absent, fewer.boxes)] == [2, 1, 1]


def test_guesses_of_the_index_are_no_truth(searcher: Searcher, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected --truth FILE, .* would be measured by"):
        suggest_from_index(searcher.index, 10, 0)
    named = [
        name_objects(image, labels)
        for image, labels in zip(paint_truth(), (["mug", "car"], ["mug", None]), strict=True)
    ]
    with Searcher(index_of(tmp_path, named), WordEmbedder()) as other:
        suggestion = suggest_from_index(other.index, 8, 0)
    mugs = sorted(str(image.objects[0].object_id) for image in named)
    right = {query.text: query.right.objects for query in suggestion.texts}
    assert right["mug"] == tuple(mugs)
    assert set(right) == {"mug", "car"}
    assert suggestion.absent == ()
    assert [len(query.right.objects) for query in suggestion.boxes] == [1, 1]
    assert {query.right.objects[0] for query in suggestion.boxes} == set(mugs)
    for query in suggestion.boxes:
        own = next(image for image in named if image.ref.uri == query.image)
        assert query.box_xyxy == own.objects[0].mask.bbox_xyxy
        assert query.right.objects[0] != str(own.objects[0].object_id)


def test_crowds_need_not_be_found(searcher: Searcher) -> None:
    crowd = annotation(1, 1, 1, (0, 0, 20, 20)).model_copy(update={"iscrowd": 1})
    truth = TRUTH.model_copy(update={"annotations": [crowd, *TRUTH.annotations[1:]]})
    (apple,) = ask(searcher, {"text": "apple", "right": {"labels": ["apple"]}}, truth=truth)
    assert apple.wanted == 1
