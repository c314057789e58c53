"""A service over an index with broken points: they are told of, and everything else is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from support.service_world import served, settings_of

from schemas.masks import CocoRle
from schemas.points import Point
from workers.indexes.open import open_index

pytestmark = pytest.mark.trials
Json = dict[str, Any]
CUT = {"rle": {"size": [80, 120], "counts": "0"}}
TURNED = {"rle": {"size": [120, 80], "counts": CocoRle.from_runs((120, 80), [9600]).counts}}
MOVED = {"bbox": [500, 500, 600, 600]}


@pytest.fixture(params=[CUT, TURNED], ids=["cut", "turned"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestClient]:
    with altered(tmp_path, {"pink": request.param, "green": MOVED, "blue": {"uri": 5}}) as made:
        yield made


def altered(folder: Path, changes: dict[str, Json]) -> Any:
    """A service over the squares, some of which have other payloads, by the colour of each."""
    boxes = {"pink": [10, 10, 40, 50], "blue": [60, 20, 100, 70], "green": [30, 30, 90, 70]}
    with closing(open_index(settings_of(folder).index, None)) as index:
        points = [point for point in index.scan(words=True) if point.payload["kind"] == "object"]
        for colour, change in changes.items():
            (point,) = [each for each in points if each.payload["bbox"] == boxes[colour]]
            index.restore([Point(point.id, {**point.payload, **change}, point.vector, point.words)])
    return served(folder, raising=False)


def search(client: TestClient, text: str) -> Json:
    answer = client.post("/v1/search", json={"text": text})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def broken(client: TestClient) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    (family,) = [each for each in families if each.name == "objseek_index_broken_points"]
    value: float = family.samples[0].value
    return value


def test_broken_points_are_counted_and_the_rest_is_found(client: TestClient) -> None:
    assert broken(client) == 0
    hits = search(client, "red")["hits"]
    assert len(hits) == 3  # the one with a wrong uri is none of ours
    assert broken(client) == 2
    search(client, "pink")
    assert broken(client) == 2
    assert client.get("/healthz").status_code == 200


def test_a_broken_mask_is_not_drawn(client: TestClient) -> None:
    pink = search(client, "pink")["hits"][0]
    assert pink["payload"]["bbox"] == [10, 10, 40, 50]
    path = f"/v1/objects/{pink['object_id']}"
    assert client.get(path).status_code == 200
    assert client.get(f"{path}/crop.jpg").status_code == 200
    answer = client.get(f"{path}/mask.png")
    assert answer.status_code == 503
    detail = answer.json()["detail"]
    assert "expected a mask of 120 x 80 pixels, the index holds a broken one" in detail
    assert "two.png" in detail
    image = f"/v1/images/{pink['payload']['image_id']}"
    assert client.get(f"{image}/preview.jpg?masks=true").status_code == 200
    objects = client.get(image).json()["objects"]
    assert [each["object_id"] for each in objects] == [pink["object_id"]]
    like = client.post("/v1/search", json={"positive": [{"object_id": pink["object_id"]}]})
    assert like.status_code == 200


def test_a_box_outside_the_image_is_told_of(client: TestClient) -> None:
    (green,) = [
        hit for hit in search(client, "green")["hits"] if hit["payload"]["bbox"] == MOVED["bbox"]
    ]
    answer = client.get(f"/v1/objects/{green['object_id']}/crop.jpg")
    assert answer.status_code == 503
    assert "expected a box within 120 x 80 pixels" in answer.json()["detail"]
    assert client.get(f"/v1/objects/{green['object_id']}/mask.png").status_code == 200
