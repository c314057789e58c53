"""Hits that are near-duplicates of a better one stand behind it, on every page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.alike_world import apart, image_at, index_of, pattern, turned, with_thumbnail
from support.index_cases import embedded

from pipeline.search.collapse import collapse_alike
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.points import IndexQuery
from schemas.search import SearchHit, SearchPage, SearchQuery
from workers.indexes.point_index import PointIndex


def name(hit: SearchHit) -> str:
    return hit.payload.uri.rpartition("/")[2]


def found(index: PointIndex, degrees: float) -> list[SearchHit]:
    return index.search(IndexQuery(turned(degrees), 50))


def stacks(hits: list[SearchHit]) -> dict[str, list[str]]:
    return {name(hit): [name(other) for other in hit.alike or ()] for hit in hits}


def test_each_stands_behind_the_likest_of_those_before_it(tmp_path: Path) -> None:
    images = [image_at(f"{degrees}.jpg", degrees) for degrees in (0, 1, 2, 60, 61)]
    with index_of(tmp_path, images) as index:
        hits = found(index, 0)
        assert stacks(collapse_alike(hits, index, lambda hit: False)) == {
            "0.jpg": ["1.jpg", "2.jpg"], "60.jpg": ["61.jpg"],
        }  # fmt: skip
        shown = collapse_alike(hits, index, lambda hit: name(hit) == "2.jpg")
        assert stacks(shown)["2.jpg"] == ["0.jpg", "1.jpg"]


def test_thumbnails_are_looked_at_and_kinds_stay_apart(tmp_path: Path) -> None:
    images = [
        with_thumbnail(image_at("a.jpg", 0), pattern(1)),
        with_thumbnail(image_at("same.jpg", 1), pattern(1)),
        with_thumbnail(image_at("other.jpg", 2), pattern(2)),
        embedded("object.jpg", np.stack([apart(0), turned(0)])),
    ]
    with index_of(tmp_path, images) as index:
        hits = [hit for hit in found(index, 0) if hit.score > 0.9]
        assert stacks(collapse_alike(hits, index, lambda hit: False)) == {
            "a.jpg": ["same.jpg"], "object.jpg": [], "other.jpg": [],
        }  # fmt: skip


class Turned(fakes.MeanEmbedder):
    dim = 8
    name = "clip_x"


@pytest.fixture
def searcher(tmp_path: Path) -> Iterator[Searcher]:
    # Twelve things, of each eight copies that are a little apart; the nearest is thing 0.
    images = [
        image_at(f"{thing:02}-{copy}.jpg", 7 * thing + copy / 50)
        for thing in range(12)
        for copy in range(8)
    ]
    with index_of(tmp_path, images) as index:
        yield Searcher(index, Turned(), Settings())


def ask(searcher: Searcher, **more: object) -> SearchPage:
    vector = turned(-1).tolist()
    return searcher.search(SearchQuery(vector=vector, kind="image", limit=5, **more))  # type: ignore[arg-type]


def test_pages_are_full_and_nothing_comes_twice(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = {"image": 0.999, "object": 0.999}
    for name_of in ("LEAST_SIMILARITY", "LEAST_BLIND"):
        monkeypatch.setattr(f"pipeline.search.collapse.{name_of}", least)
    assert len({name(hit)[:2] for hit in ask(searcher).hits}) == 1
    things, cursor = [], None
    for expected in (5, 5, 2):
        page = ask(searcher, collapse=True, cursor=cursor)
        assert len(page.hits) == expected
        assert all(len(hit.alike or ()) == 7 for hit in page.hits)
        things += [name(hit)[:2] for hit in page.hits]
        cursor = page.cursor
    assert things == [f"{thing:02}" for thing in range(12)]
    assert cursor is None


def test_without_it_hits_are_as_they_were(searcher: Searcher) -> None:
    assert all(hit.alike is None for hit in ask(searcher).hits)
