"""Objects added by hand over HTTP: who may, what is answered, and who sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.added_objects import square
from support.colour_world import NAME, build_index
from support.qdrant_server import qdrant_server
from support.service_world import (
    BASE,
    OWNER,
    AnyTextEmbedder,
    SquareSegmenter,
    owner,
    served,
)

from pipeline.jobs.verify import verify
from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.settings import Settings
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

Json = dict[str, Any]
SIZE_HW = (80, 120)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path) as made:
        yield made


def body(folder: Path, side: int = 30, **more: object) -> Json:
    rle = square(25, 25, side, SIZE_HW)
    return {
        "uri": (folder / "one.png").as_uri(),
        "segmentation": {"size": list(rle.size_hw), "counts": rle.counts},
        "label": "my mug",
        **more,
    }


def post(client: TestClient, wanted: Json, status: int = 201) -> Json:
    answer = client.post("/v1/objects", json=wanted, headers=owner())
    assert answer.status_code == status, answer.text
    told: Json = answer.json()
    return told


def found(client: TestClient) -> set[str]:
    query = {"text": "red", "conditions": [{"field": "added", "op": "=", "value": "true"}]}
    return {hit["object_id"] for hit in client.post("/v1/search", json=query).json()["hits"]}


def test_an_object_is_added_found_and_removed(client: TestClient, tmp_path: Path) -> None:
    before = client.get("/v1/stats").json()["objects"]
    told = post(client, body(tmp_path))
    identity, payload = told["object_id"], told["payload"]
    assert told["added"] is payload["added"] is True
    assert (payload["bbox"], payload["area"]) == ([25, 25, 55, 55], 900)
    assert (payload["segmenter_label"], payload["segmenter_score"]) == ("my mug", 1.0)
    # The red square of its image holds all of it.
    assert payload["level"] == "part"
    assert client.get("/v1/stats").json()["objects"] == before + 1
    facets = client.get("/v1/facets").json()
    assert {"value": "my mug", "count": 1} in facets["segmenter_labels"]
    assert found(client) == {identity}
    image = client.get(f"/v1/images/{payload['image_id']}").json()
    assert identity in {item["object_id"] for item in image["objects"]}
    assert client.get(f"/v1/objects/{identity}/crop.jpg").status_code == 200

    again = post(client, body(tmp_path, label="cup"), 200)
    assert (again["object_id"], again["payload"]["segmenter_label"]) == (identity, "my mug")

    assert client.delete(f"/v1/objects/{identity}", headers=owner()).status_code == 204
    assert found(client) == set()
    assert client.get("/v1/stats").json()["objects"] == before
    assert client.delete(f"/v1/objects/{identity}", headers=owner()).status_code == 404


def test_a_preview_with_masks_changes_with_what_is_added(
    client: TestClient, tmp_path: Path
) -> None:
    (image,) = {
        hit["payload"]["image_id"]
        for hit in client.post("/v1/search", json={"text": "red"}).json()["hits"]
        if hit["payload"]["uri"].endswith("one.png")
    }
    path = f"/v1/images/{image}/preview.jpg?masks=true"
    before = client.get(path).headers["etag"]
    post(client, body(tmp_path))
    assert client.get(path).headers["etag"] != before


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"uri": "s3://photos/none.jpg"}, 404, "the index holds no image 's3://photos/none.jpg'"),
        ({"segmentation": {"size": [9, 9], "counts": "b1"}}, 422, "expected a mask of size [80, 1"),
        ({"segmentation": {"size": [80, 120], "counts": "P\\9"}}, 422, "expected a mask"),
        ({"label": "x" * 121}, 422, "at most 120 characters"),
        ({"label": " "}, 422, "expected a label of 1 to 120 characters"),
        ({"colour": "red"}, 422, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_request_is_a_sentence(
    client: TestClient, tmp_path: Path, change: Json, status: int, sentence: str
) -> None:
    assert sentence in post(client, body(tmp_path, **change), status)["detail"]
    assert found(client) == set()


def test_an_image_that_has_changed_takes_no_more(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes((tmp_path / "two.png").read_bytes())
    post(client, body(tmp_path), 409)


def test_what_an_ingest_has_found_stays(client: TestClient) -> None:
    (hit,) = client.post("/v1/search", json={"text": "green", "limit": 1}).json()["hits"]
    answer = client.delete(f"/v1/objects/{hit['object_id']}", headers=owner())
    assert answer.status_code == 409
    assert "was found by an ingest" in answer.json()["detail"]


def test_only_who_may_ingest_may_add(client: TestClient, tmp_path: Path) -> None:
    refused = client.post("/v1/objects", json=body(tmp_path))
    assert refused.status_code == 403
    assert "`objseek keys create NAME --scope ingest` makes one" in refused.json()["detail"]
    told = post(client, body(tmp_path))
    assert client.delete(f"/v1/objects/{told['object_id']}").status_code == 403
    assert found(client) == {told["object_id"]}


def test_a_snapshot_takes_nothing(tmp_path: Path) -> None:
    with served(tmp_path, read_only=True) as client:
        assert "reads a snapshot" in post(client, body(tmp_path), 409)["detail"]


def test_an_image_that_is_larger_than_uploads_may_be(tmp_path: Path) -> None:
    with served(tmp_path, max_upload_pixels=9000) as client:
        told = post(client, body(tmp_path), 422)
    assert "an image of at most 9,000 pixels, as uploads are, it has 9,600" in told["detail"]


def test_another_process_sees_it(tmp_path: Path) -> None:
    """Two services on one server: what one adds, the other finds and may remove."""
    build_index(tmp_path)
    with qdrant_server() as server:
        settings = Settings.model_validate(
            {
                "index": {
                    "location": f"{server.url}/squares",
                    "state": str(tmp_path / "index" / "manifest"),
                }
            }
        )
        local = {"index": {"location": str(tmp_path / "index")}}
        with open_index(Settings.model_validate(local).index, None) as source:
            _copy(source, settings)
        with _serve(settings) as first, _serve(settings) as second:
            told = post(first, body(tmp_path))
            assert found(first) == found(second) == {told["object_id"]}
            path = f"/v1/objects/{told['object_id']}"
            assert second.get(path).json()["payload"]["added"] is True
            assert post(second, body(tmp_path), 200)["object_id"] == told["object_id"]
            assert second.delete(path, headers=owner()).status_code == 204
            assert first.get(path).status_code == 404
            assert found(first) == set()


def _copy(source: VectorIndex, settings: Settings) -> None:
    with open_index(settings.index, source.dim, create=True) as target:
        target.restore(list(source.scan(words=True)))


def _serve(settings: Settings) -> TestClient:
    searcher = Searcher(open_index(settings.index, None), AnyTextEmbedder(NAME), settings)
    searcher.models._segmenter = SquareSegmenter()
    return TestClient(
        build_app(searcher, settings, OWNER), base_url=BASE, client=("127.0.0.1", 50000)
    )


def test_nothing_is_wrong_after_all_that(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        settings: Settings = client.app.state.service.settings  # type: ignore[attr-defined]
        told = post(client, body(tmp_path))
        post(client, body(tmp_path, side=10))
        assert client.delete(f"/v1/objects/{told['object_id']}", headers=owner()).is_success
    report = verify(settings)
    assert (report.findings, report.points) == ([], 8)
