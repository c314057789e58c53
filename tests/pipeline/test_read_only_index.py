"""A job is told at once of an index that it may only read, and a search reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.colour_world import NAME, ColourEmbedder, build_index

from pipeline.index_home import IndexHome
from pipeline.search.searcher import Searcher
from pipeline.service.discovery import Handle, read_handle, write_handle
from schemas.errors import IndexUnavailableError
from schemas.search import SearchQuery
from workers.indexes.open import open_index


def test_jobs_are_refused_and_searches_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = build_index(tmp_path)
    home = IndexHome.current(settings)
    assert home.exists()
    monkeypatch.setattr("workers.indexes.edge.opening.is_writable", lambda shard: False)
    with pytest.raises(IndexUnavailableError, match="index can only be read"):
        home.exists()
    searcher = Searcher(open_index(settings.index, None), ColourEmbedder(NAME), settings)
    with searcher:
        assert len(searcher.search(SearchQuery(text="red")).hits) == 4


def test_where_a_service_cannot_leave_word_it_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = Handle(url="http://127.0.0.1:1", token="token", pid=1)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert write_handle(str(tmp_path), handle) is None
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert write_handle(str(tmp_path), handle) == tmp_path / "service.json"
    assert read_handle(str(tmp_path)) == handle
