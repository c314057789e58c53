"""The search service as its users ask it: what each route answers, and what it says instead."""

from __future__ import annotations

import io
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from support import colour_world
from support.colour_world import ColourEmbedder, embedded
from support.service_world import owner, served
from support.waiting import PATIENCE_S, until

from pipeline.drawing.previews import crop_box
from pipeline.service import access
from pipeline.service.api_keys import KeyFile, Scope
from schemas.masks import CocoRle
from schemas.payload import PointPayload

Json = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with served(folder) as made:
        yield made


def search(client: TestClient, **query: Any) -> Json:
    answer = client.post("/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def names(answer: Json) -> list[tuple[str, list[int]]]:
    payloads = [hit["payload"] for hit in answer["hits"]]
    return [(payload["uri"].rpartition("/")[2], payload["bbox"]) for payload in payloads]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def picture_of(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


RED = ("one.png", [20, 20, 60, 60])
PINK = ("two.png", [10, 10, 40, 50])
BLUE = ("two.png", [60, 20, 100, 70])
GREEN = ("three.png", [30, 30, 90, 70])


def test_texts_weighed_and_unwanted(client: TestClient) -> None:
    answer = search(client, text="red")
    assert names(answer)[:2] == [RED, PINK]
    assert answer["hits"][0]["score"] == pytest.approx(1.0, abs=0.01)
    assert set(answer["seconds"]) == {"embed", "index", "judge"}
    both = [{"text": "red", "weight": 0.05}, {"text": "blue", "weight": 1}]
    assert names(search(client, positive=both))[0] == BLUE
    less = search(client, text="pink", negative=[{"text": "blue"}])
    assert names(less)[0] == RED


def test_objects_liked_and_disliked(client: TestClient) -> None:
    red = search(client, text="red", limit=1)["hits"][0]["object_id"]
    blue = search(client, text="blue", limit=1)["hits"][0]["object_id"]
    like = search(client, positive=[{"object_id": red}])
    assert names(like)[0] == PINK
    assert red not in [hit["object_id"] for hit in like["hits"]]
    unlike = search(client, text="pink", negative=[{"object_id": blue}])
    assert names(unlike)[0] == RED
    best = {"strategy": "best_score", "limit": 2}
    either = search(client, positive=[{"text": "red"}, {"text": "blue"}], **best)
    assert sorted(names(either)) == sorted([RED, BLUE])


def test_uploads_their_boxes_and_points(client: TestClient, folder: Path) -> None:
    data = (folder / "two.png").read_bytes()
    kept = client.post("/v1/uploads", content=data).json()
    assert (kept["width"], kept["height"]) == (120, 80)
    upload = {"upload_id": kept["upload_id"]}
    box = search(client, positive=[{**upload, "box_xyxy": BLUE[1]}])
    assert names(box)[0] == BLUE
    assert box["hits"][0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert box["regions"][0]["bbox"] == BLUE[1]
    point = search(client, positive=[{**upload, "point_xy": [25, 30]}])
    assert names(point)[0] == PINK
    (region,) = point["regions"]
    assert region["bbox"] == [15, 20, 35, 40]
    assert CocoRle((80, 120), region["rle"]["counts"]).area_px == 400
    assert search(client, positive=[upload])["regions"] == [None]
    preview = picture_of(client.get(f"/v1/uploads/{kept['upload_id']}/preview.jpg?size=60"))
    assert preview.shape == (40, 60, 3)
    gone = client.post("/v1/search", json={"positive": [{"upload_id": "nobody"}]})
    assert gone.status_code == 422
    assert "upload it again" in gone.json()["detail"]


def test_a_region_of_an_indexed_image(client: TestClient) -> None:
    image = search(client, text="blue", limit=1)["hits"][0]["payload"]["image_id"]
    where = {"image_id": image, "box_xyxy": PINK[1]}
    answer = search(client, positive=[where, {"text": "pink"}])
    assert names(answer)[0] == PINK
    whole = search(client, positive=[{"image_id": image}], kind="image")
    assert [hit["payload"]["kind"] for hit in whole["hits"]] == ["image", "image"]
    absent = client.post("/v1/search", json={"positive": [{"image_id": str(uuid.UUID(int=3))}]})
    assert (absent.status_code, "holds no image" in absent.json()["detail"]) == (422, True)


def test_conditions_groups_and_least_score(client: TestClient) -> None:
    small = [{"field": "area_frac", "op": "<", "value": 0.15}]
    assert names(search(client, text="green", conditions=small)) == [PINK]
    left = [{"field": "center_x_frac", "op": "<", "value": 0.4}]
    assert sorted(names(search(client, text="red", conditions=left))) == sorted([RED, PINK])
    grouped = search(client, text="red", group_size=1)
    assert len({hit["payload"]["image_id"] for hit in grouped["hits"]}) == 3
    assert names(search(client, text="red", min_score=0.95)) == [RED]


def test_pages_show_everything_once_while_others_write(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [hit["object_id"] for hit in search(client, text="red", kind=None)["hits"]]
    assert len(everything) == 7
    first = search(client, text="red", kind=None, limit=3)
    index = client.app.state.service.queue.searcher.index  # type: ignore[attr-defined]
    # A newcomer that would rank first, and one that is there already, written once more.
    (folder / "four.png").write_bytes((folder / "one.png").read_bytes())
    squares = {**colour_world.PICTURES, "four.png": colour_world.PICTURES["one.png"]}
    monkeypatch.setattr(colour_world, "PICTURES", squares)
    newcomer = embedded(folder, "four.png", ColourEmbedder())
    index.replace_images([newcomer])
    try:
        shown = [hit["object_id"] for hit in first["hits"]]
        cursor = first["cursor"]
        while cursor is not None:
            page = search(client, text="red", kind=None, limit=3, cursor=cursor)
            shown += [hit["object_id"] for hit in page["hits"]]
            cursor = page["cursor"]
        assert shown == everything
        assert len(search(client, text="red", kind=None)["hits"]) == 9
        other = client.post("/v1/search", json={"text": "blue", "cursor": first["cursor"]})
        assert other.status_code == 422
        assert "that of another one" in other.json()["detail"]
    finally:
        payloads = [point.payload for point in index.scroll()]
        ids = {payload["image_id"] for payload in payloads if payload["uri"].endswith("four.png")}
        index.delete_images([uuid.UUID(identity) for identity in ids])


def test_a_batch_answers_each_query_or_says_why_not(client: TestClient) -> None:
    queries = [{"text": "red", "limit": 1}, {"positive": [{"object_id": "x"}]}, {"text": "blue"}]
    answer = client.post("/v1/search/batch", json={"queries": queries})
    assert answer.status_code == 200
    first, second, third = answer.json()["results"]
    assert names(first) == [RED]
    assert second == {
        "status": 422,
        "detail": "expected the id of an indexed object, as a search prints it, got 'x'",
    }
    assert names(third)[0] == BLUE
    many = {"queries": [{"text": "red"}] * 257}
    assert client.post("/v1/search/batch", json=many).status_code == 422
    assert client.post("/v1/search/batch", json={"queries": []}).status_code == 422
    most = client.post("/v1/search/batch", json={"queries": [{"text": "red", "limit": 1}] * 256})
    assert [names(result) for result in most.json()["results"]] == [[RED]] * 256


def test_objects_with_crops_and_masks(client: TestClient) -> None:
    hit = search(client, text="red", limit=1)["hits"][0]
    path = f"/v1/objects/{hit['object_id']}"
    answer = client.get(path)
    assert answer.json() == {"object_id": hit["object_id"], "payload": hit["payload"]}
    crop = client.get(f"{path}/crop.jpg?size=80&outline=false")
    pixels = picture_of(crop)
    payload = PointPayload.model_validate(hit["payload"])
    x0, y0, x1, y1 = crop_box(payload)
    assert (x0, y0, x1, y1) == (4, 4, 76, 76)
    assert max(pixels.shape[:2]) == 80
    middle = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].astype(int)
    assert (middle[0] > 240, middle[1] < 15, middle[2] < 15) == (True, True, True)
    assert crop.headers["cache-control"] == "private, max-age=86400, immutable"
    again = client.get(
        f"{path}/crop.jpg?size=80&outline=false", headers={"If-None-Match": crop.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    outlined = picture_of(client.get(f"{path}/crop.jpg?size=80"))
    assert np.abs(outlined.astype(int) - pixels.astype(int)).max() > 60
    mask = picture_of(client.get(f"{path}/mask.png"))
    assert mask.shape == (80, 120)
    assert mask.sum() == 1600
    assert mask[20:60, 20:60].all()
    assert client.get(f"/v1/objects/{uuid.UUID(int=5)}").status_code == 404
    assert client.get(f"/v1/objects/{uuid.UUID(int=5)}/crop.jpg").status_code == 404


def test_images_with_their_objects_and_previews(client: TestClient) -> None:
    payload = search(client, text="blue", limit=1)["hits"][0]["payload"]
    path = f"/v1/images/{payload['image_id']}"
    image = client.get(path).json()
    assert image["payload"]["kind"] == "image"
    assert [record["payload"]["bbox"] for record in image["objects"]] == [BLUE[1], PINK[1]]
    plain = picture_of(client.get(f"{path}/preview.jpg?size=60"))
    assert plain.shape == (40, 60, 3)
    # Never larger than it is.
    assert picture_of(client.get(f"{path}/preview.jpg?size=4096")).shape == (80, 120, 3)
    drawn = picture_of(client.get(f"{path}/preview.jpg?size=60&masks=true"))
    assert np.abs(drawn.astype(int) - plain.astype(int)).max() > 40
    missing = client.get(f"/v1/images/{uuid.UUID(int=5)}")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


def test_an_image_that_changed_or_went_is_a_problem(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        found = search(client, text="red")
        named = [name for name, _ in names(found)]
        hits = dict(zip(named, found["hits"], strict=True))
        (tmp_path / "one.png").write_bytes(b"other bytes")
        (tmp_path / "three.png").unlink()
        for name, status in (("one.png", 409), ("three.png", 410)):
            answer = client.get(f"/v1/objects/{hits[name]['object_id']}/crop.jpg")
            assert answer.status_code == status
            assert answer.json()["status"] == status
            assert name in answer.json()["detail"]


def test_facets_and_stats(client: TestClient) -> None:
    counts = client.get("/v1/facets").json()
    assert counts["total"] == 4
    assert counts["buckets"] == [{"value": "", "count": 4}]
    assert {size["name"]: size["count"] for size in counts["sizes"]} == {
        "tiny": 0, "small": 0, "medium": 2, "large": 2,
    }  # fmt: skip
    facets = client.get(
        "/v1/facets", params={"filter": ["area_frac<0.15"], "kind": "object"}
    ).json()
    assert facets["total"] == 1
    wrong = client.get("/v1/facets", params={"filter": "colour=red"})
    assert (wrong.status_code, "unknown filter field" in wrong.json()["detail"]) == (422, True)
    stats = client.get("/v1/stats").json()
    assert (stats["objects"], stats["images"], stats["dim"]) == (4, 3, 4)
    assert (stats["read_only"], stats["needs_key"], stats["words"]) == (False, False, True)


def test_health_readiness_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    until(lambda: client.get("/readyz").status_code == 200)
    search(client, text="red")
    text = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["objseek_index_objects"].samples[0].value == 4
    stages = {sample.labels.get("stage") for sample in families["objseek_stage_seconds"].samples}
    assert {"embed", "index", "judge"} <= stages
    routes = {sample.labels["route"] for sample in families["objseek_request_seconds"].samples}
    assert "/v1/search" in routes
    # Ids stand in paths, of which there are as many as objects.
    assert not any(str(uuid.UUID(int=5)) in route for route in routes)


def test_the_page_has_all_its_modules_fetched_at_once(client: TestClient) -> None:
    text = client.get("/").text
    fetched = set(re.findall(r'rel="modulepreload" href="/static/(\w+\.js)"', text))
    imported, queue = set(), ["app.js"]
    while queue:
        source = client.get(f"/static/{queue.pop()}").text
        found = set(re.findall(r'from "\./(\w+\.js)"|import "\./(\w+\.js)"', source))
        names = {name for pair in found for name in pair if name} - imported
        imported |= names
        queue += sorted(names)
    assert fetched == imported
    assert len(imported) > 10


def test_the_page_and_the_documentation_need_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert "http://" not in page.text.replace("http://www.w3.org", "")
        assert "https://" not in page.text
        for asset in ("/static/app.js", "/static/style.css", "/docs/widgets/swagger-ui-bundle.js"):
            assert client.get(asset).status_code == 200, asset
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) >= {
        "/v1/search", "/v1/search/batch", "/v1/objects/{object_id}", "/v1/facets", "/v1/stats",
        "/v1/objects/{object_id}/crop.jpg", "/v1/objects/{object_id}/mask.png", "/healthz",
        "/v1/images/{image_id}", "/v1/images/{image_id}/preview.jpg", "/readyz", "/metrics",
    }  # fmt: skip


def test_keys_are_needed_where_they_are_named(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    stored, text = keys.create("reader", Scope.READ, days=1)
    _, ingester = keys.create("ingester", Scope.INGEST, days=None)
    past, late = keys.create("late", Scope.READ, days=-1)
    assert past.has_expired(datetime.now(UTC))
    assert text not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    with served(tmp_path, keys=str(tmp_path / "keys.json"), host="0.0.0.0") as client:

        def ask(key: str | None, method: str = "GET", path: str = "/v1/stats") -> int:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            body = {"sources": ["/nowhere"]} if method == "POST" else None
            return client.request(method, path, headers=headers, json=body).status_code

        assert (ask(text), ask(ingester), ask(None), ask(late), ask(text + "x")) == (
            200, 200, 401, 401, 401,
        )  # fmt: skip
        assert ask(text, "POST", "/v1/ingest") == 403
        assert ask(text, "DELETE", "/v1/ingest") == 403
        assert ask(ingester, "DELETE", "/v1/ingest") == 200
        assert client.get("/v1/stats", headers=owner()).status_code == 200
        # The page itself is no secret, nor whether the service is up.
        assert (ask(None, path="/"), ask(None, path="/healthz")) == (200, 200)
        assert ask(None, path="/metrics") == 401
        keys.revoke(stored.id)
        until(lambda: ask(text) != 200)


def test_who_asks_too_often_is_told_when_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "time", SimpleNamespace(monotonic=lambda: 0.0))
    with served(tmp_path, requests_per_minute=8) as client:
        statuses = [client.get("/v1/stats").status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        late = client.get("/v1/stats")
        assert int(late.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200  # counted apart


def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    given_up = threading.Event()
    with served(tmp_path, request_timeout_s=0.1) as client:
        desk = client.app.state.service.queue  # type: ignore[attr-defined]
        searcher = desk.searcher
        quick = searcher.search
        searcher.search = lambda query: given_up.wait() and quick(query)
        answer = client.post("/v1/search", json={"text": "red"})
        given_up.set()
        assert answer.status_code == 504
        assert answer.headers["retry-after"] == "5"
        searcher.search, desk._timeout_s = quick, PATIENCE_S
        assert client.post("/v1/search", json={"text": "red"}).status_code == 200


def test_a_bug_is_logged_and_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(tmp_path, raising=False) as client:
        searcher = client.app.state.service.queue.searcher  # type: ignore[attr-defined]

        def broken(query: object) -> None:
            raise RuntimeError("the secret inside")

        searcher.search = broken
        answer = client.post("/v1/search", json={"text": "red"})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.headers["content-security-policy"]
    assert "the secret inside" in caplog.text
