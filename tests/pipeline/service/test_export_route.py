"""Chosen objects as files of other programs, over HTTP."""

from __future__ import annotations

import csv
import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from httpx import Response
from PIL import Image
from pycocotools import mask as coco
from starlette.testclient import TestClient
from support.service_world import owner, served
from support.yolo_reader import read_line


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path) as made:
        yield made


def ids_of(client: TestClient) -> list[str]:
    hits = client.post("/v1/search", json={"text": "red"}).json()["hits"]
    return [hit["object_id"] for hit in hits]


def export(client: TestClient, ids: list[str], form: str, status: int = 200) -> Response:
    answer = client.post("/v1/export", json={"object_ids": ids, "format": form})
    assert answer.status_code == status, answer.text
    return answer


def opened(answer: Response) -> zipfile.ZipFile:
    made = zipfile.ZipFile(io.BytesIO(answer.content))
    assert made.testzip() is None
    return made


def test_as_coco(client: TestClient) -> None:
    ids = ids_of(client)[:3]
    client.post("/v1/objects/tags", json={"object_ids": ids[:1], "add": ["mine"]}, headers=owner())
    answer = export(client, [*ids, ids[0]], "coco")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="objects.json"'
    assert answer.headers["Objseek-Left-Out"] == "0"
    document = json.loads(answer.content)
    assert [each["object_id"] for each in document["annotations"]] == ids
    assert [each.get("tags") for each in document["annotations"]] == [["mine"], None, None]
    for each in document["annotations"]:
        assert coco.area(each["segmentation"]) == each["area"]


def test_as_yolo(client: TestClient) -> None:
    ids = ids_of(client)
    made = opened(export(client, ids, "yolo"))
    assert sorted(made.namelist()) == [
        "data.yaml", "images.csv", "labels/one.txt", "labels/three.txt", "labels/two.txt",
    ]  # fmt: skip
    assert 'names:\n  0: "object"\n' in made.read("data.yaml").decode()
    (line,) = made.read("labels/one.txt").decode().splitlines()
    inside = np.argwhere(read_line(line, {0: "object"}, (120, 80)).mask)
    assert (inside.min(axis=0).tolist(), inside.max(axis=0).tolist()) == ([20, 20], [59, 59])
    assert len(inside) == 40 * 40
    assert len(made.read("labels/two.txt").decode().splitlines()) == 2
    rows = list(csv.DictReader(io.StringIO(made.read("images.csv").decode())))
    assert {row["file"] for row in rows} == {"one.png", "two.png", "three.png"}


def test_as_a_table(client: TestClient) -> None:
    ids = ids_of(client)
    client.post(
        "/v1/objects/tags", json={"object_ids": ids[:1], "add": ["=1+1", "b"]}, headers=owner()
    )
    answer = export(client, ids, "csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["object_id"] for row in rows] == ids
    # No spreadsheet makes a formula of it.
    assert [row["tags"] for row in rows] == ["'=1+1; b", "", "", ""]
    box = [int(rows[0][name]) for name in ("x0", "y0", "x1", "y1")]
    assert int(rows[0]["area"]) == (box[2] - box[0]) * (box[3] - box[1])


def test_as_crops(client: TestClient, tmp_path: Path) -> None:
    ids = ids_of(client)
    (tmp_path / "three.png").unlink()
    made = opened(export(client, ids, "crops"))
    *pictures, failures = sorted(made.namelist(), key=lambda name: name == "failures.txt")
    assert (len(pictures), failures) == (3, "failures.txt")
    assert "three.png" in made.read("failures.txt").decode()
    assert all(name.startswith("object/") for name in pictures)
    (of_one,) = (name for name in pictures if name.startswith("object/one-"))
    with Image.open(io.BytesIO(made.read(of_one))) as picture:
        assert picture.size == (40, 40)
        assert np.abs(np.array(picture).mean(axis=(0, 1)) - (255, 0, 0)).max() < 3


def test_what_is_not_there_is_told(client: TestClient) -> None:
    absent = str(uuid.UUID(int=7))
    told = export(client, [*ids_of(client), absent], "coco", 404).json()
    assert told["detail"] == f"the index holds no object {absent}"
    export(client, [], "coco", 422)
    export(client, ids_of(client), "xml", 422)
    export(client, [str(uuid.UUID(int=n)) for n in range(1001)], "csv", 422)
