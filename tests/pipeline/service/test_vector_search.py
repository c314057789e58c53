"""The service takes vectors and sparse vectors, and says in a sentence what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.service_world import served, settings_of
from support.sparse_world import BLUE, COLOURS, PINK, RED, write_sparse

from pipeline.service.client import Client
from pipeline.service.delegation import build_request
from pipeline.settings import Settings
from schemas.api import SearchRequest
from schemas.search import SearchQuery
from schemas.sparse_terms import MAX_TERMS, SparseTerms

SPARSE = {"indices": [1, 2], "values": [2.0, 1.0]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("vectors")
    write_sparse(settings_of(folder))
    with served(folder) as made:
        yield made


def search(client: TestClient, **query: Any) -> list[tuple[tuple[str, tuple[int, ...]], float]]:
    answer = client.post("/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    hits = answer.json()["hits"]
    assert all(hit["probability"] is None for hit in hits)
    return [
        ((hit["payload"]["uri"].rpartition("/")[2], tuple(hit["payload"]["bbox"])), hit["score"])
        for hit in hits
    ]


def test_vectors_alone_together_and_with_texts(client: TestClient) -> None:
    near = search(client, vector=COLOURS[RED])
    assert [square for square, _ in near][:2] == [RED, PINK]
    assert near[0][1] == pytest.approx(1.0, abs=0.01)
    assert search(client, sparse=SPARSE) == [(PINK, 3.0), (RED, 2.0), (BLUE, 1.5)]
    assert search(client, sparse=SPARSE, min_score=2.5) == [(PINK, 3.0)]
    # Second by nearness, first by the dot product.
    assert search(client, vector=COLOURS[RED], sparse=SPARSE)[0][0] in (RED, PINK)
    fused = search(client, text="blue", sparse={"indices": [1], "values": [1.0]})
    assert fused[0][0] == PINK
    assert client.get("/v1/stats").json()["sparse"] is True


def test_a_batch_takes_them(client: TestClient) -> None:
    queries = [{"sparse": SPARSE, "limit": 1}, {"vector": [1.0, 2.0]}, {"vector": COLOURS[BLUE]}]
    answer = client.post("/v1/search/batch", json={"queries": queries})
    assert answer.status_code == 200, answer.text
    first, second, third = answer.json()["results"]
    assert first["hits"][0]["score"] == 3.0
    assert (second["status"], second["detail"]) == (
        422,
        "expected a vector of 4 numbers, as those of the index, got 2",
    )
    assert tuple(third["hits"][0]["payload"]["bbox"]) == BLUE[1]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"vector": [1.0, 2.0, 3.0]}, "a vector of 4 numbers, as those of the index, got 3"),
        ({"vector": [0.0] * 4}, "vector: expected a vector other than zero"),
        ({"vector": ["a"]}, "vector"),
        ({"vector": [1.0] * 20_000}, "vector"),
        ({"sparse": {"indices": [1, 1], "values": [1, 2]}}, "expected each index once"),
        ({"sparse": {"indices": [1], "values": [0]}}, "finite and not zero"),
        ({"sparse": {"indices": [1], "values": [1, 2]}}, "as many values as indices"),
        ({"sparse": {"indices": [1]}}, "values"),
        ({"sparse": [[1, 2.0]]}, "sparse"),
        (
            {"sparse": {"indices": [*range(MAX_TERMS + 1)], "values": [1] * (MAX_TERMS + 1)}},
            "at most 4096",
        ),
        ({"sparse": SPARSE, "negative": [{"text": "red"}]}, "got a sparse vector alone"),
    ],
)
def test_a_wrong_one_is_a_problem(client: TestClient, query: dict[str, Any], why: str) -> None:
    answer = client.post("/v1/search", json=query)
    assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.text


def test_a_command_has_the_service_search_by_them() -> None:
    sparse = SparseTerms(indices=(1, 2), values=(2.0, 1.0))
    query = SearchQuery(vector=COLOURS[RED], sparse=sparse, limit=3)
    with Client("http://127.0.0.1:1") as service:
        request = build_request(service, query, Settings())
    assert (request.vector, request.sparse, request.limit) == (COLOURS[RED], sparse, 3)
    sent = request.model_dump_json(exclude_unset=True)
    assert SearchRequest.model_validate_json(sent) == request


def test_an_index_without_them_says_so(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        answer = client.post("/v1/search", json={"sparse": SPARSE})
        assert answer.status_code == 422
        assert answer.json()["detail"] == (
            "expected an index with sparse vectors to search by one, this has none"
        )
        assert client.get("/v1/stats").json()["sparse"] is False
