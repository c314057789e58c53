"""Filters mean the same with the indexes of a Lance table as without, and use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.index_cases import DIM, embedded, options_for, unit

from pipeline.search.filter_syntax import parse_conditions
from schemas.points import Point, SparseVector
from workers.indexes.filters import point_filter
from workers.indexes.lance import upkeep
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index
from workers.indexes.points import image_points

_NOW = datetime(2026, 1, 31, 12, 30, 0, 250_000, tzinfo=UTC)
_IMAGES = 60
_LABELS = ("mug", "mule", "o'clock", "house")
# None of them is met by all points, or by none.
_FILTERS = [
    "kind=object",
    "kind!=object",
    "key=7",
    "key^=1",
    "key!=12",
    "uri^=s3://photos/3",
    "labels=mug",
    "labels!=mug",
    "labels=o'clock",
    "labels^=mu",
    "labelled_by=names",
    "labelled_by!=names",
    "area_frac>0.05",
    "area_frac<=0.05",
    "predicted_iou!=0.9",
    "predicted_iou>=0.9",
    "ordinal<1",
    "run_started_at>2026-01-31T12:30:20",
    "run_started_at<=2026-01-31T12:30:20.25",
    "ingested_at!=2026-01-31T12:30:07.25",
    "t_start>=3",
    "t_start!=3",
    "own.price<20",
    "own.price!=4",
    "own.price=4",
    "own.shop=north",
    "own.shop!=north",
    "own.shop^=so",
]
_INDEXED = [text for text in _FILTERS if "!=" not in text]


def _points() -> list[Point]:
    """Points of which each lacks some fields."""
    points = []
    for number in range(_IMAGES):
        started = _NOW + timedelta(seconds=number)
        own: dict[str, object] = {"price": number} if number % 3 else {"price": str(number)}
        extra: dict[str, object] = {"own": own | ({"shop": ("north", "south")[number % 2]})}
        if number % 4:
            labels = [_LABELS[number % 4], _LABELS[(number + 1) % 4]]
            extra |= {"labels": labels, "label_scores": [0.6, 0.3], "labelled_by": "names"}
        if number % 5 == 0:
            times = {"t_start": number / 10, "t_key": number / 10, "t_end": 9.0, "duration": 1.0}
            extra |= {**times, "video_duration": 9.0, "frames": 2, "shot": 0}
        if number % 7 == 0:
            del extra["own"]
        of_image = image_points(embedded(str(number), unit(number, 3)), started, started)
        words = SparseVector(np.array([number % 9], np.uint32), np.ones(1, np.float32))
        points += [
            replace(point, payload={**point.payload, **extra}, words=words) for point in of_image
        ]
    return points


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanceIndex]:
    folder: Path = tmp_path_factory.mktemp("filters")
    made = open_index(options_for(f"lance+file://{folder}"), DIM, create=True)
    assert isinstance(made, LanceIndex)
    made.restore(_points())
    yield made
    made.close()


@pytest.fixture(scope="module")
def without(index: LanceIndex) -> dict[str, set[str]]:
    """The ids that each filter finds before there are indexes, which are made then."""
    found = {text: _ids(index, text) for text in _FILTERS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "_ROWS_TO_INDEX", 100)
        index.optimize()
    return found


def _ids(index: LanceIndex, text: str) -> set[str]:
    return {point.id for point in index.scroll(parse_conditions([text]))}


@pytest.mark.parametrize("text", _FILTERS)
def test_the_same_points_are_found(
    text: str, index: LanceIndex, without: dict[str, set[str]]
) -> None:
    assert 0 < len(without[text]) < 3 * _IMAGES
    assert _ids(index, text) == without[text]
    assert index.count(parse_conditions([text])) == len(without[text])


@pytest.mark.parametrize("text", _INDEXED)
def test_the_index_of_the_column_is_used(
    text: str, index: LanceIndex, without: dict[str, set[str]]
) -> None:
    plan = _plan(index, index._condition(point_filter(parse_conditions([text]))))
    assert "ScalarIndexQuery" in plan, plan
    assert "refine_filter=--" in plan, plan


@pytest.mark.parametrize("column", ["word_impacts", "sparse_impacts"])
def test_terms_have_an_index(column: str, index: LanceIndex, without: dict[str, set[str]]) -> None:
    assert "ScalarIndexQuery" in _plan(index, f"array_has({column}, 17)")


def test_points_that_no_index_has_are_found_too(
    index: LanceIndex, without: dict[str, set[str]]
) -> None:
    (late, *_) = image_points(embedded("late", unit(99, 2)), _NOW, _NOW)
    index.restore([replace(late, payload={**late.payload, "labels": ["mug"]})])
    assert _ids(index, "labels=mug") == without["labels=mug"] | {late.id}
    index.delete_points([late.id])
    assert _ids(index, "labels=mug") == without["labels=mug"]


def _plan(index: LanceIndex, condition: str | None) -> str:
    dataset = index._table.current()
    plan: str = dataset.scanner(columns=["id"], filter=condition).explain_plan()
    return plan
