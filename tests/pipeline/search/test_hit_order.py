"""Hits come in the order of what is shown of them, on one page and over several."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.colour_world import NAME, ColourEmbedder, build_index
from support.demo_world import build_demo

from pipeline.search.hit_order import count_likely, order_hits
from pipeline.search.relevance import find_surest, join_probabilities
from pipeline.search.searcher import Searcher
from schemas.labels import Label, LabelEntry
from schemas.points import WordShares
from schemas.search import FileExample, Relevance, SearchHit, SearchQuery, TextExample
from workers.indexes.bm25 import share_of_words, words_of
from workers.indexes.open import open_index


@pytest.fixture
def hit(tmp_path: Path) -> SearchHit:
    settings = build_index(tmp_path)
    with Searcher(open_index(settings.index, None), ColourEmbedder(NAME)) as searcher:
        (found,) = searcher.search(SearchQuery(text="red", limit=1)).hits
    return found


def shown(hit: SearchHit, probability: float | None, relevance: str | None, image: int = 0):
    payload = hit.payload.model_copy(update={"image_id": str(uuid.UUID(int=image))})
    return hit.model_copy(
        update={"payload": payload, "probability": probability, "relevance": relevance}
    )


def test_the_likeliest_come_first_and_the_unlikely_last(hit: SearchHit) -> None:
    given = [
        shown(hit, 0.85, "strong"), shown(hit, 0.01, "weak"), shown(hit, None, None),
        shown(hit, 0.91, "strong"), shown(hit, None, "weak"), shown(hit, 0.68, "strong"),
    ]  # fmt: skip
    ordered = order_hits(given)
    assert [item.probability for item in ordered] == [0.91, 0.85, 0.68, None, 0.01, None]
    assert [item.relevance for item in ordered[3:]] == [None, "weak", "weak"]
    assert count_likely(ordered) == 4
    assert find_surest(ordered, SearchQuery(text="red")) is Relevance.STRONG
    assert find_surest([given[2]], SearchQuery(text="red")) is None
    assert find_surest([given[1], given[2]], SearchQuery(text="red")) is Relevance.WEAK
    # Whole images may show a whole picture, whatever objects are like.
    picture = SearchQuery(positive=(FileExample(path="a.png"),))
    assert find_surest([given[1], given[2]], picture) is None
    assert find_surest([given[1], given[4]], picture) is Relevance.WEAK
    assert find_surest([given[0], given[2]], picture) is Relevance.STRONG


def test_hits_without_a_probability_stay_as_they_were(hit: SearchHit) -> None:
    given = [hit.model_copy(update={"score": score}) for score in (0.3, 0.9, 0.1)]
    assert order_hits(given) == given


def test_hits_of_an_image_stay_together(hit: SearchHit) -> None:
    given = [
        shown(hit, 0.5, "strong", 1), shown(hit, 0.2, "likely", 2), shown(hit, 0.9, "strong", 2),
        shown(hit, 0.7, "strong", 1),
    ]  # fmt: skip
    ordered = order_hits(given, grouped=True)
    assert [item.probability for item in ordered] == [0.9, 0.2, 0.7, 0.5]


@pytest.mark.parametrize(
    ("wanted", "unwanted", "any_of_them", "joined"),
    [
        ([(0.9, 1.0), (0.3, 1.0)], [], False, 0.3),
        ([(0.9, 1.0), (0.3, 1.0)], [], True, 0.9),
        ([(0.9, 1.0), (0.3, 0.2)], [], False, 0.8),  # 0.2 of the weight takes 0.2 away at most
        ([(0.9, 0.1), (0.3, 1.0)], [], False, 0.3),
        ([(0.8, 5.0)], [(1.0, 1.0)], False, 0.4),
        ([(0.8, 1.0)], [(1.0, 1.0), (0.0, 3.0)], False, 0.7),
        ([(0.8, 1.0), None], [], False, None),
        ([(0.8, 1.0)], [None], False, None),
        ([], [], False, None),
    ],
)
def test_probabilities_are_joined_by_weight(wanted, unwanted, any_of_them, joined) -> None:
    found = join_probabilities(wanted, unwanted, any_of_them=any_of_them)
    assert found == (None if joined is None else pytest.approx(joined))


def test_the_words_of_sure_labels_tell_how_sure_a_word_is() -> None:
    apple = Label(LabelEntry("red apple", ("fruit", "food")), 0.6)
    pear = Label(LabelEntry("pear", ("fruit",)), 0.3)
    uri = "file:///photos/fruit/red-car.jpg"
    words = words_of([apple, pear], uri)
    # 0.9, and short labels weigh more; the uri has this word as well.
    assert share_of_words("a fruit", words, uri) == WordShares(1.0, True)
    assert 0.6 <= share_of_words("food", words, uri).labels < 0.9
    assert 0.6 <= share_of_words("a red apple", words, uri).labels < 0.9
    assert not share_of_words("a red apple", words, uri).in_uri
    # Of the uri alone, of no label, in part, and only stop words.
    car = share_of_words("red car", words, uri)
    assert (car.labels, car.in_uri) == (pytest.approx(0.0, abs=1e-6), True)
    assert share_of_words("a red boat", words, uri) == WordShares()
    assert share_of_words("the", words, uri) == WordShares()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    settings, _ = build_demo(tmp_path_factory.mktemp("order"), 6)
    with Searcher.open(settings) as searcher:
        yield searcher


def probabilities(hits: tuple[SearchHit, ...]) -> list[float]:
    return [hit.probability for hit in hits if hit.probability is not None]


def test_pages_follow_in_one_order_and_show_each_hit_once(demo: Searcher) -> None:
    query = SearchQuery(text="a fruit", limit=7)
    whole = demo.search(query.model_copy(update={"limit": 28})).hits
    pages, cursor = [], None
    for _ in range(4):
        page = demo.search(query.model_copy(update={"cursor": cursor}))
        pages += page.hits
        cursor = page.cursor
    assert [hit.object_id for hit in pages] == [hit.object_id for hit in whole]
    assert probabilities(tuple(pages)) == sorted(probabilities(whole), reverse=True)
    assert len(probabilities(whole)) == 28


@pytest.mark.parametrize(
    "more", [{}, {"hybrid": False}, {"diversity": 0.5}, {"group_size": 1}, {"negative": "pizza"}]
)
def test_numbers_fall_however_hits_are_chosen(demo: Searcher, more: dict[str, object]) -> None:
    if "negative" in more:
        more = {"negative": (TextExample(text="a pizza"),)}
    hits = demo.search(SearchQuery(text="food", limit=20, **more)).hits
    shown = probabilities(hits)
    assert len(shown) == len(hits) > 5
    assert shown == sorted(shown, reverse=True)
