"""Searching by vectors and sparse vectors of one's own: alone, together, and with texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.colour_world import ColourEmbedder, build_index
from support.sparse_world import (
    BLUE,
    COLOURS,
    GREEN,
    PINK,
    RED,
    forbid_models,
    write_sparse,
)

from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings, load_settings
from schemas.errors import UsageError
from schemas.search import ObjectExample, SearchPage, SearchQuery, TextExample
from schemas.sparse_terms import MAX_TERMS, SparseTerms
from workers.indexes.open import open_index

Terms = dict[int, float]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = build_index(tmp_path_factory.mktemp("world"))
    write_sparse(made)
    return made


@pytest.fixture
def bare(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Searcher]:
    """A searcher that must load no model."""
    forbid_models(monkeypatch)
    with Searcher.open(settings) as searcher:
        yield searcher


@pytest.fixture
def searcher(settings: Settings) -> Iterator[Searcher]:
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as made:
        yield made


def sparse(terms: Terms) -> SparseTerms:
    return SparseTerms(indices=tuple(terms), values=tuple(terms.values()))


def squares(page: SearchPage) -> list[tuple[str, tuple[int, ...]]]:
    return [(hit.payload.uri.rpartition("/")[2], hit.payload.bbox) for hit in page.hits]


def scores(page: SearchPage) -> list[float]:
    return [hit.score for hit in page.hits]


def fused(*lists: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    sums: dict[tuple[str, tuple[int, ...]], float] = {}
    for ranked in lists:
        for rank, square in enumerate(ranked, 1):
            sums[square] = sums.get(square, 0.0) + 1 / (60 + rank)
    return sorted(sums, key=lambda square: -sums[square])


def asked(searcher: Searcher, **query: Any) -> SearchPage:
    query_made = SearchQuery(**query)
    searcher.prepare(query_made)
    return searcher.search(query_made)


def test_a_vector_finds_the_nearest_without_any_model(bare: Searcher) -> None:
    page = asked(bare, vector=COLOURS[RED])
    assert squares(page)[:2] == [RED, PINK]
    assert page.hits[0].score == pytest.approx(1.0, abs=0.01)
    assert len(page.hits) == 4
    assert [(hit.probability, hit.relevance) for hit in page.hits] == [(None, None)] * 4
    assert (page.relevance, page.hybrid, page.regions) == (None, False, (None,))
    long = tuple(1e300 * number for number in COLOURS[RED])
    assert scores(asked(bare, vector=long)) == pytest.approx(scores(page))
    images = asked(bare, vector=COLOURS[RED], kind="image")
    assert {hit.payload.kind for hit in images.hits} == {"image"}


def test_a_sparse_vector_alone_scores_by_the_dot_product(bare: Searcher) -> None:
    page = asked(bare, sparse=sparse({1: 2.0, 2: 1.0}))
    assert squares(page) == [PINK, RED, BLUE]
    assert scores(page) == [3.0, 2.0, 1.5]
    assert [(hit.probability, hit.relevance) for hit in page.hits] == [(None, None)] * 3
    assert (page.relevance, page.regions) == (None, ())
    assert squares(asked(bare, sparse=sparse({1: 2.0, 2: 1.0}), min_score=2.0)) == [PINK, RED]
    two = parse_conditions(["uri^=" + page.hits[0].payload.uri])
    assert squares(asked(bare, sparse=sparse({1: 2.0, 2: 1.0}), conditions=two)) == [PINK, BLUE]
    grouped = asked(bare, sparse=sparse({1: 2.0, 2: 1.0}), group_size=2)
    assert squares(grouped) == [PINK, BLUE, RED]
    assert asked(bare, sparse=sparse({7: 1.0})).hits == ()
    best = asked(bare, sparse=sparse({1: 2.0, 2: 1.0}), strategy="best_score")
    assert squares(best) == [PINK, RED, BLUE]
    varied = asked(bare, sparse=sparse({1: 2.0, 2: 1.0}), diversity=0.9)
    assert squares(varied)[0] == PINK
    assert squares(varied)[1] != RED


def test_pages_of_a_sparse_vector_follow_each_other(bare: Searcher) -> None:
    query = SearchQuery(sparse=sparse({1: 2.0, 2: 1.0}), limit=1)
    found = []
    for _ in range(3):
        page = bare.search(query)
        found += squares(page)
        query = query.model_copy(update={"cursor": page.cursor})
    assert found == [PINK, RED, BLUE]
    assert page.cursor is None
    first = bare.search(query.model_copy(update={"cursor": None})).cursor
    with pytest.raises(UsageError, match="the cursor of this query, got that of another"):
        asked(bare, sparse=sparse({1: 2.0, 2: 1.5}), limit=1, cursor=first)


def test_a_vector_and_a_sparse_vector_are_fused(bare: Searcher) -> None:
    near = asked(bare, vector=COLOURS[BLUE])
    page = asked(bare, vector=COLOURS[BLUE], sparse=sparse({1: 1.0}))
    assert squares(page) == fused(squares(near), [RED, PINK])
    assert squares(page) != squares(near)
    cosines = {hit.object_id: hit.score for hit in near.hits}
    wanted = [cosines[hit.object_id] for hit in page.hits]
    assert scores(page) == pytest.approx(wanted, abs=1e-6)
    assert all(hit.probability is None for hit in page.hits)


def test_weights_of_ranks_are_a_setting(settings: Settings) -> None:
    location = {"location": settings.index.location}
    first = {}
    for name in ("vector", "sparse"):
        weights = {"fusion_weights": {name: 100.0}}
        weighed = load_settings(None, {"index": location, "search": weights})
        with Searcher.open(weighed) as searcher:
            page = asked(searcher, vector=COLOURS[BLUE], sparse=sparse({1: 1.0}))
            first[name] = squares(page)[0]
    assert first == {"vector": BLUE, "sparse": RED}
    with pytest.raises(UsageError, match=r"search\.fusion_weights\.sparse: .* greater than 0"):
        load_settings(None, {"search": {"fusion_weights": {"sparse": 0}}})


def test_a_text_and_a_sparse_vector_are_fused(searcher: Searcher) -> None:
    assert squares(asked(searcher, text="green"))[0] == GREEN
    page = asked(searcher, text="green", sparse=sparse({1: 1.0}), hybrid=False)
    by_text = squares(asked(searcher, vector=tuple(searcher.models.embed_texts(["green"])[0])))
    assert squares(page) == fused(by_text, [RED, PINK])
    assert [(hit.probability, hit.relevance) for hit in page.hits] == [(None, None)] * 4
    assert asked(searcher, text="green", sparse=sparse({1: 1.0})).hybrid


def test_how_likely_an_object_is_stays_unknown_beside_a_sparse_vector(searcher: Searcher) -> None:
    blue = asked(searcher, vector=COLOURS[BLUE]).hits[0].object_id
    like = (ObjectExample(object_id=blue),)
    assert all(hit.probability is not None for hit in asked(searcher, positive=like).hits)
    page = asked(searcher, positive=like, sparse=sparse({1: 1.0, 900: 1.0}))
    assert RED in squares(page)
    assert BLUE not in squares(page)  # what is searched with is no hit, whatever its terms
    assert all(hit.probability is None for hit in page.hits)


def test_a_vector_is_one_more_thing_that_is_wanted(searcher: Searcher) -> None:
    red, blue = (searcher.models.embed_texts([name])[0] for name in ("red", "blue"))
    both = asked(searcher, text="red", vector=tuple((3 * blue).tolist()))
    middle = (red + blue) / np.linalg.norm(red + blue)
    assert scores(both)[0] == pytest.approx(
        max(float(middle @ point.vector) for point in searcher.index.scan() if is_object(point)),
        abs=1e-5,
    )
    assert all(hit.probability is None for hit in both.hits)
    unlike = asked(searcher, vector=COLOURS[BLUE], negative=(TextExample(text="pink"),))
    assert squares(unlike)[0] == BLUE


def is_object(point: Any) -> bool:
    return bool(point.payload["kind"] == "object")


@pytest.mark.parametrize("length", [3, 5, 512])
def test_a_vector_of_another_length_is_refused(bare: Searcher, length: int) -> None:
    with pytest.raises(UsageError) as caught:
        asked(bare, vector=(0.5,) * length)
    wanted = f"expected a vector of 4 numbers, as those of the index, got {length}"
    assert str(caught.value) == wanted


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"vector": (0.0, 0.0)}, "expected a vector other than zero"),
        ({"vector": ()}, "at least 1 item"),
        ({"vector": (float("nan"),)}, "finite number"),
        ({"sparse": {"indices": [1], "values": [0.0]}}, "finite and not zero"),
        ({"sparse": {"indices": [1], "values": [1e60]}}, "finite and not zero"),
        ({"sparse": {"indices": [1], "values": [float("inf")]}}, "finite number"),
        ({"sparse": {"indices": [1, 1], "values": [1, 1]}}, "each index once"),
        ({"sparse": {"indices": [1, 2], "values": [1]}}, "as many values as indices"),
        ({"sparse": {"indices": [-1], "values": [1]}}, "greater than or equal to 0"),
        ({"sparse": {"indices": [2**32], "values": [1]}}, "less than or equal to 4294967295"),
        ({"sparse": {"indices": [1.0], "values": [1]}}, "valid integer"),
        ({"sparse": {"indices": [], "values": []}}, "at least 1 item"),
        (
            {"sparse": {"indices": [*range(MAX_TERMS + 1)], "values": [1.0] * (MAX_TERMS + 1)}},
            "at most 4096 items",
        ),
        (
            {"sparse": {"indices": [1], "values": [1]}, "negative": [{"text": "red"}]},
            "got a sparse vector alone",
        ),
        ({}, "expected a text, an image, an object or a vector to look for, got none"),
    ],
)
def test_what_is_no_query_is_refused(query: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SearchQuery.model_validate(query)


def test_an_index_without_sparse_vectors_says_so(tmp_path: Path) -> None:
    with Searcher.open(build_index(tmp_path)) as searcher, pytest.raises(UsageError) as caught:
        asked(searcher, sparse=sparse({1: 1.0}))
    assert str(caught.value) == (
        "expected an index with sparse vectors to search by one, this has none"
    )
