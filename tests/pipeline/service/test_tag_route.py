"""Tags over HTTP: who may give them, what is answered, what is found by them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.service_world import owner, served

Json = dict[str, Any]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path) as made:
        yield made


def post(client: TestClient, body: Json, status: int = 200) -> Json:
    answer = client.post("/v1/objects/tags", json=body, headers=owner())
    assert answer.status_code == status, answer.text
    told: Json = answer.json()
    return told


def search(client: TestClient, **more: object) -> list[Json]:
    answer = client.post("/v1/search", json={"text": "red", **more})
    assert answer.status_code == 200, answer.text
    hits: list[Json] = answer.json()["hits"]
    return hits


def test_objects_are_tagged_found_and_counted(client: TestClient) -> None:
    first, second, third, _ = (hit["object_id"] for hit in search(client))
    absent = str(uuid.UUID(int=7))
    assert post(client, {"object_ids": [first, absent, second], "add": [" To print "]}) == {
        "found": 2,
        "changed": 2,
        "tags": {first: ["To print"], second: ["To print"]},
        "missing": [absent],
    }
    told = post(client, {"object_ids": [second, third], "add": ["red"], "remove": ["To print"]})
    assert (told["changed"], told["tags"]) == (2, {second: ["red"], third: ["red"]})
    assert post(client, {"object_ids": [third], "add": ["red"]})["changed"] == 0
    condition = {"field": "tags", "op": "=", "value": "red"}
    assert {hit["object_id"] for hit in search(client, conditions=[condition])} == {second, third}
    assert client.get(f"/v1/objects/{first}").json()["payload"]["tags"] == ["To print"]
    facets = client.get("/v1/facets").json()["tags"]
    assert facets == [{"value": "red", "count": 2}, {"value": "To print", "count": 1}]
    narrowed = client.get("/v1/facets", params={"filter": "tags=To print"}).json()
    assert (narrowed["total"], narrowed["tags"]) == (1, [{"value": "To print", "count": 1}])


def test_the_variety_knows_tags_at_once(client: TestClient) -> None:
    def tagged() -> list[str]:
        params = {"filter": "tags=red"}
        objects = client.get("/v1/variety", params=params).json()["objects"]
        return sorted(each["object_id"] for each in objects)

    assert tagged() == []
    ids = sorted(hit["object_id"] for hit in search(client))
    post(client, {"object_ids": ids[:1], "add": ["red"]})
    assert tagged() == ids[:1]
    post(client, {"filter": ["kind=object"], "add": ["red"]})
    assert tagged() == ids


def test_all_that_meets_a_filter_is_tagged(client: TestClient) -> None:
    told = post(client, {"filter": ["area>0", "kind=object"], "add": ["seen"]})
    assert told == {"found": 4, "changed": 4, "tags": {}, "missing": []}
    told = post(client, {"filter": ["tags=seen", "area>=1600"], "remove": ["seen"]})
    assert 0 < told["changed"] < 4
    assert client.get("/v1/facets").json()["tags"] == [
        {"value": "seen", "count": 4 - told["changed"]}
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"add": ["red"]}, "expected object_ids or a filter, got both or neither"),
        ({"object_ids": [], "add": ["red"]}, "expected object_ids or a filter"),
        ({"object_ids": [str(uuid.UUID(int=7))]}, "expected a tag to add or to remove, got none"),
        ({"object_ids": ["apple"], "add": ["red"]}, "valid UUID"),
        ({"object_ids": [str(uuid.UUID(int=7))], "add": ["x" * 65]}, "got 65 of them"),
        ({"object_ids": [str(uuid.UUID(int=7))], "add": ["a\u0000"]}, "Unicode characters"),
        ({"object_ids": [str(uuid.UUID(int=n)) for n in range(1001)], "add": ["x"]}, "1000 items"),
        ({"filter": ["colour=red"], "add": ["x"]}, "unknown filter field 'colour'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    client: TestClient, body: Json, sentence: str
) -> None:
    told = post(client, body, 422)
    assert sentence in " ".join([told["detail"], *told.get("errors", ())])


def test_it_takes_a_key_that_may_write(client: TestClient) -> None:
    body = {"object_ids": [search(client)[0]["object_id"]], "add": ["red"]}
    assert client.post("/v1/objects/tags", json=body).status_code in (401, 403)
    assert client.get("/v1/facets").json()["tags"] == []


def test_a_snapshot_takes_none(tmp_path: Path) -> None:
    with served(tmp_path, read_only=True) as client:
        body = {"object_ids": [search(client)[0]["object_id"]], "add": ["red"]}
        assert "snapshot" in post(client, body, 409)["detail"]
