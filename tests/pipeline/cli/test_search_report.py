"""The report of `objseek eval search`: what it shows of the worst queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.colour_world import OPTIONS, ColourEmbedder, build_index

from pipeline.cli.judged_search import QuerySource, SearchRun
from pipeline.cli.reports.hit_pictures import draw_worst
from pipeline.cli.reports.search_plots import plot_search
from pipeline.cli.reports.search_report import build_search_report
from pipeline.drawing.report.report_file import render_report
from pipeline.evaluation.search.figures import measure_results
from pipeline.evaluation.search.query_file import JudgedQuery, QueryLine
from pipeline.evaluation.search.query_result import QueryResult
from pipeline.evaluation.search.query_run import QueryRun
from pipeline.search.searcher import Searcher
from schemas.search import SearchQuery
from workers.indexes.open import open_index

LIMIT = 4


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """Four squares of four colours in three images."""
    settings = build_index(tmp_path_factory.mktemp("world"))
    settings = settings.model_copy(update={"embedder": OPTIONS})
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def results(searcher: Searcher) -> list[QueryResult]:
    """Of three texts, the first is found at once, the second later; the third is not there."""
    red, pink, *_ = searcher.search(SearchQuery(text="red", limit=LIMIT)).hits
    queries: list[dict[str, Any]] = [
        {"text": "red", "right": {"objects": [red.object_id]}},
        {"text": "red", "name": "<i>pinkish", "right": {"objects": [pink.object_id]}},
        {"text": "blue", "right": {}},
    ]
    lines = [
        QueryLine(Path("q.jsonl"), number, JudgedQuery.model_validate(query))
        for number, query in enumerate(queries, start=1)
    ]
    return list(QueryRun(searcher, limit=LIMIT).run(lines))


def test_the_first_hits_of_the_worst_are_drawn(
    searcher: Searcher, results: list[QueryResult]
) -> None:
    (gallery,) = draw_worst(results, searcher, searcher.settings)
    assert (gallery.title, gallery.text) == ("<i>pinkish", "1 of 1 found, the first right hit: 2")
    assert len(gallery.pictures) == 3
    first, second, _ = gallery.pictures
    assert first.data.startswith(b"RIFF")
    assert first.alt == "something else in one.png"
    assert [str(picture.lines[0]) for picture in (first, second)] == ["wrong", "right"]


def test_plots_say_what_the_figures_do(results: list[QueryResult]) -> None:
    recall, ranks = plot_search(results, LIMIT)  # without labels nothing tells how likely texts are
    assert [series.name for series in recall.series] == ["text"]
    assert recall.series[0].y == [0.5, 1, 1, 1]
    (bars,) = ranks.series
    assert bars.y == [1, 1, 0, 0, 0, 0]
    assert len(bars.x) == len(bars.y) + 1
    assert "1 of 2 queries have it first, 0 never" in ranks.alt
    assert plot_search([], LIMIT) == []


def test_a_report_has_it_all_escaped(searcher: Searcher, results: list[QueryResult]) -> None:
    run = SearchRun(QuerySource(Path("q.jsonl"), limit=LIMIT), results, ["an-id"], 2)
    galleries = draw_worst(results, searcher, searcher.settings)
    page = render_report(
        build_search_report(run, measure_results(results, LIMIT), "an-index", galleries)
    )
    assert "3 queries of q.jsonl to an-index, 4 hits each: 2 for what is there, 1 for" in page
    assert "For 50% of the former the first hit is right, for 100% one of 4." in page
    assert "a right hit among the first 4" in page
    assert "count as never found: 1: an-id" in page
    assert "&lt;i&gt;pinkish" in page
    assert "<i>" not in page
    assert page.count("data:image/webp") == 3
    empty = build_search_report(
        SearchRun(QuerySource(Path("q.jsonl")), [], [], 0), measure_results([], 10), "an-index", []
    )
    assert "None asks for what is there." in render_report(empty)
