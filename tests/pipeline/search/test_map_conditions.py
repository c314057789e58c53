"""Hits, counts and a variety of what lies in a part of the map."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.colour_world import ColourEmbedder
from support.map_world import build_map_world

from pipeline.index_home import IndexHome
from pipeline.search import map_conditions
from pipeline.search.facets import compute_facets
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.kept_map import keep_map
from pipeline.search.searcher import Searcher
from pipeline.search.variety import choose_variety
from schemas.errors import UsageError
from schemas.object_map import ObjectMap
from schemas.search import Condition, SearchQuery
from workers.indexes.open import open_index

MADE_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEFT = f"on_map={int(MADE_AT.timestamp())}:-1,-1,0,-1,0,1,-1,1"
"""The left half of the map, where two objects lie."""


def open_searcher(folder: Path) -> Searcher:
    settings = build_map_world(folder)
    return Searcher(open_index(settings.index, None), ColourEmbedder(), settings)


@pytest.fixture
def searcher(tmp_path: Path) -> Iterator[Searcher]:
    """Of four objects, on a map from left to right in the order of their ids."""
    with open_searcher(tmp_path) as opened:
        _keep(opened, MADE_AT)
        yield opened


def _keep(searcher: Searcher, made_at: datetime) -> None:
    ids = np.array([list(uuid.UUID(each).bytes) for each in _objects(searcher)], np.uint8)
    positions = np.array([[-0.9, 0], [-0.3, 0], [0.3, 0], [0.9, 0]], np.float32)
    labels = np.zeros(4, np.uint16)
    made = ObjectMap(positions, ids, labels, ("mug",), 4, "v", made_at)
    keep_map(made, IndexHome.current(searcher.settings))


def _objects(searcher: Searcher) -> list[str]:
    points = searcher.index.scroll((Condition(field="kind", op="=", value="object"),))
    return sorted(point.id for point in points)


def test_the_part_narrows_searches_counts_and_varieties(searcher: Searcher) -> None:
    conditions = parse_conditions([LEFT])
    wanted = set(_objects(searcher)[:2])
    hits = searcher.search(SearchQuery(text="red", conditions=conditions)).hits
    assert {hit.object_id for hit in hits} == wanted
    assert compute_facets(searcher, conditions, "object", 10).total == 2
    assert {point.id for point in choose_variety(searcher, 10, conditions)} == wanted


def test_other_filters_hold_beside_it(searcher: Searcher) -> None:
    spoons = parse_conditions(["labels=spoon"])
    every, left = (
        {hit.object_id for hit in searcher.search(SearchQuery(text="red", conditions=given)).hits}
        for given in (spoons, (*spoons, *parse_conditions([LEFT])))
    )
    assert left == every & set(_objects(searcher)[:2])
    assert 0 < len(left) < len(every)


def test_ids_narrow_by_themselves(searcher: Searcher) -> None:
    last = _objects(searcher)[-1]
    (hit,) = searcher.search(
        SearchQuery(text="red", conditions=parse_conditions([f"object_id={last}"]))
    ).hits
    assert hit.object_id == last


def test_of_an_empty_part_there_is_no_hit(searcher: Searcher) -> None:
    corner = parse_conditions([f"on_map={int(MADE_AT.timestamp())}:-1,-1,-0.9,-1,-0.9,-0.9"])
    assert searcher.search(SearchQuery(text="red", conditions=corner)).hits == ()
    assert compute_facets(searcher, corner, "object", 10).total == 0


def test_a_part_of_another_map_is_refused(searcher: Searcher) -> None:
    _keep(searcher, MADE_AT + timedelta(days=1))
    with pytest.raises(UsageError, match="on a map that was made anew since"):
        searcher.search(SearchQuery(text="red", conditions=parse_conditions([LEFT])))


def test_of_too_large_a_part_the_limit_is_named(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_conditions, "MAX_IDS", 1)
    with pytest.raises(UsageError, match="a part of the map with at most 1 objects, 2 lie there"):
        searcher.complete(parse_conditions([LEFT]))


def test_without_a_map_there_are_no_parts(tmp_path: Path) -> None:
    with (
        open_searcher(tmp_path) as opened,
        pytest.raises(UsageError, match="of this index there is none"),
    ):
        opened.search(SearchQuery(text="red", conditions=parse_conditions([LEFT])))
