"""The map over HTTP: made on request, one at a time, and kept for the index as it is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from support.map_world import build_map_world, lay_out_in_order
from support.service_world import served
from support.waiting import until

from pipeline.jobs import map_layout, object_map
from pipeline.service import map_maker
from schemas.errors import ModelError
from schemas.object_map import unpack_map


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(object_map, "lay_out", lay_out_in_order)
    for module in (object_map, map_maker):
        monkeypatch.setattr(module, "require_umap", lambda: None)
    build_map_world(tmp_path)
    with served(tmp_path) as client:
        yield client


def state(client: TestClient) -> dict[str, object]:
    answer = client.get("/v1/map/state")
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


def test_a_map_is_made_once_and_given_as_bytes(client: TestClient) -> None:
    assert state(client)["state"] == "none"
    assert client.get("/v1/map").status_code == 404
    assert client.post("/v1/map").status_code == 202
    until(lambda: state(client)["state"] == "done")
    known = state(client)
    assert (known["objects"], known["of_objects"], known["is_current"]) == (4, 4, True)
    answer = client.get("/v1/map")
    assert answer.headers["content-type"] == "application/octet-stream"
    made = unpack_map(answer.content)
    assert sorted(made.labels[place] for place in made.label_of) == [
        "mug",
        "spoon",
        "spoon",
        "spoon",
    ]
    again = client.get("/v1/map", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # Of the same index there is nothing to make.
    client.post("/v1/map")
    assert client.get("/v1/map").headers["etag"] == answer.headers["etag"]


def test_how_far_it_is_and_why_it_failed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def fail(vectors: np.ndarray, report: map_layout.Report) -> np.ndarray:
        report(50, 200)
        go_on.wait()
        raise ModelError("UMAP could not lay the objects out: no room")

    monkeypatch.setattr(object_map, "lay_out", fail)
    client.post("/v1/map")
    until(lambda: state(client)["note"] == "laying 4 objects out: 50 of 200")
    assert client.post("/v1/map").json()["state"] == "running"
    go_on.set()
    until(lambda: state(client)["state"] == "failed")
    assert state(client)["error"] == "UMAP could not lay the objects out: no room"


def test_without_umap_the_service_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr(map_layout, "find_spec", lambda name: None)
    build_map_world(tmp_path)
    with served(tmp_path) as client:
        answer = client.post("/v1/map")
    assert answer.status_code == 503
    assert "pip install 'objseek[map]'" in answer.json()["detail"]


def test_hits_are_collapsed_where_that_is_wanted(client: TestClient) -> None:
    query = {"text": "red", "kind": "object"}
    every = client.post("/v1/search", json=query).json()["hits"]
    assert all(hit["alike"] is None for hit in every)
    fewer = client.post("/v1/search", json={**query, "collapse": True}).json()["hits"]
    behind = sum(len(hit["alike"] or ()) for hit in fewer)
    assert len(fewer) + behind == len(every)
