"""The service answers with a variety of objects to look round in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.service_world import owner, served


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(tmp_path_factory.mktemp("variety")) as made:
        yield made


def test_objects_come_once_each_and_the_same_again(client: TestClient) -> None:
    objects = client.get("/v1/variety").json()["objects"]
    ids = [each["object_id"] for each in objects]
    assert len(ids) == len(set(ids)) == client.get("/v1/stats").json()["objects"]
    assert {each["payload"]["kind"] for each in objects} == {"object"}
    two = client.get("/v1/variety", params={"limit": 2}).json()
    assert len(two["objects"]) == 2
    assert client.get("/v1/variety", params={"limit": 2}).json() == two
    assert client.get("/v1/variety", params={"limit": 2, "turn": 1}).status_code == 200


def test_conditions_hold(client: TestClient) -> None:
    answer = client.get("/v1/variety", params={"filter": ["area_frac>0.15", "kind=object"]})
    shares = [each["payload"]["area_frac"] for each in answer.json()["objects"]]
    assert shares
    assert min(shares) > 0.15
    wrong = client.get("/v1/variety", params={"filter": "colour=red"})
    assert wrong.status_code == 422
    assert "unknown filter field 'colour'" in wrong.json()["detail"]


def test_what_is_new_is_among_them(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        before = client.get("/v1/variety").json()["objects"]
        removed = before[0]["payload"]["image_id"]
        searcher = client.app.state.service.queue.searcher  # type: ignore[attr-defined]
        searcher.index.delete_images([uuid.UUID(removed)])
        searcher.refresh()
        after = client.get("/v1/variety").json()["objects"]
        assert removed not in {each["payload"]["image_id"] for each in after}
        assert len(after) < len(before)


def test_tags_that_were_given_since_stand_with_the_same_objects(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        red = {"filter": "tags=red"}
        before = client.get("/v1/variety").json()["objects"]
        assert client.get("/v1/variety", params=red).json()["objects"] == []
        first = before[0]["object_id"]
        for change, expected in (("add", [first]), ("remove", [])):
            body = {"object_ids": [first], change: ["red"]}
            assert client.post("/v1/objects/tags", json=body, headers=owner()).status_code == 200
            now = client.get("/v1/variety").json()["objects"]
            assert [each["object_id"] for each in now] == [each["object_id"] for each in before]
            tagged = [each["object_id"] for each in now if each["payload"].get("tags")]
            assert tagged == expected
            found = client.get("/v1/variety", params=red).json()["objects"]
            assert [each["object_id"] for each in found] == expected
