"""A service sees what another process writes to a table that both have open."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.colour_world import NAME, OPTIONS, PICTURES, ColourEmbedder, embedded, paint
from support.metric_samples import Samples, read_samples
from support.service_world import BASE, OWNER, AnyTextEmbedder
from support.waiting import until

from pipeline.search.searcher import Searcher
from pipeline.service import app
from pipeline.settings import Settings
from schemas.options import IndexOptions
from workers.indexes.open import open_index

OBJECTS = sum(map(len, PICTURES.values()))


def read_metrics(client: TestClient) -> Samples:
    return read_samples(client.get("/metrics").text)


def test_an_index_that_was_empty_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_FOLLOW_EVERY_S", 0.01)
    paint(tmp_path)
    embedder, place = AnyTextEmbedder(NAME), f"lance+file://{tmp_path}/index"
    options = IndexOptions(location=place, refresh_s=0)
    settings = Settings(index=options, embedder=OPTIONS)
    with open_index(options, embedder.dim, create=True) as other:
        searcher = Searcher(open_index(options, None), embedder, settings)
        with TestClient(app.build_app(searcher, settings, OWNER), base_url=BASE) as client:
            before = read_metrics(client)
            assert before["objseek_index_points"] == 0
            assert client.post("/v1/search", json={"text": "red"}).json()["hits"] == []
            other.replace_images([embedded(tmp_path, name, ColourEmbedder()) for name in PICTURES])
            until(lambda: read_metrics(client)["objseek_index_objects"] == OBJECTS)
            after = read_metrics(client)
            assert after["objseek_index_images"] == client.get("/v1/stats").json()["images"] == 3
            changed = "objseek_index_changed_timestamp_seconds"
            assert after[changed] > before[changed]
            hits = client.post("/v1/search", json={"text": "red"}).json()["hits"]
            assert len(hits) == OBJECTS
