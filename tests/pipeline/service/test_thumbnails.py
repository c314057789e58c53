"""The service shows objects by their thumbnails: without the image, and with what became of it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support import fakes
from support.service_world import BASE, OWNER, SquareSegmenter

from pipeline.jobs.ingest import ingest
from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.service.client import Client
from schemas.points import Point
from workers.indexes.open import open_index

COLOUR = (255, 200, 40)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "one.png"
    path.parent.mkdir()
    paint(path)
    return path


def paint(path: Path, ground: int = 100) -> None:
    pixels = np.full((900, 1200, 3), ground, np.uint8)
    pixels[200:800, 300:900] = COLOUR
    Image.fromarray(pixels).save(path)


@pytest.fixture
def served(image: Path, tmp_path: Path) -> Iterator[tuple[TestClient, list[Point]]]:
    """A client, and the points by their ordinals: the image, its left half, what is bright."""
    settings = fakes.settings(tmp_path / "index")
    ingest([str(image.parent)], settings, recipe=fakes.recipe(settings))
    searcher = Searcher(open_index(settings.index, None), fakes.embedder(), settings)
    searcher.models._segmenter = SquareSegmenter()
    points = sorted(searcher.index.scroll(), key=lambda point: point.payload["ordinal"])
    app = build_app(searcher, settings, OWNER)
    with TestClient(app, base_url=BASE, client=("127.0.0.1", 50000)) as client:
        yield client, points


def get(client: TestClient, path: str) -> tuple[np.ndarray, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int), answer.headers


def is_marked(pixels: np.ndarray) -> bool:
    """Whether there is a dark band at the lower edge."""
    return bool(pixels[-2].max() < 60 and pixels[len(pixels) // 3].max() > 60)


def test_a_thumbnail_as_it_is_kept(served: tuple[TestClient, list[Point]]) -> None:
    client, points = served
    bright = points[2]
    pixels, headers = get(client, f"/v1/objects/{bright.id}/thumbnail.webp")
    assert headers["content-type"] == "image/webp"
    assert headers["cache-control"] == "private, max-age=86400, immutable"
    x0, y0, x1, y1 = bright.payload["thumbnail_box"]
    assert pixels.shape == (256 * (y1 - y0) // (x1 - x0), 256, 3)
    assert np.abs(pixels[pixels.shape[0] // 2, 128] - COLOUR).max() < 16
    http = Client(BASE)
    http._http = client
    assert set(http.thumbnails([points[0].id, bright.id])) == {points[0].id, bright.id}
    assert http.thumbnails([str(points[0].payload["image_id"])]) == {}


def test_crops_and_previews_without_the_image(
    served: tuple[TestClient, list[Point]], image: Path
) -> None:
    client, points = served
    crop, preview = (
        f"/v1/objects/{points[2].id}/crop.jpg",
        f"/v1/images/{points[0].payload['image_id']}/preview.jpg",
    )
    sharp, headers = get(client, f"{crop}?size=1600&outline=false")
    assert not is_marked(sharp)
    assert "immutable" in headers["cache-control"]
    image.unlink()
    client.app.state.service.images._images.clear()  # type: ignore[attr-defined]
    for path in (f"{crop}?size=300", f"{crop}?size=1600", f"{preview}?size=1280"):
        pixels, headers = get(client, path)
        assert is_marked(pixels), path
        assert headers["cache-control"] == "no-store"
        assert "etag" not in headers
    assert (np.abs(pixels - COLOUR).max(axis=2) < 24).mean() > 0.2


def test_only_a_change_is_marked(served: tuple[TestClient, list[Point]], image: Path) -> None:
    client, points = served
    path = f"/v1/objects/{points[2].id}/crop.jpg?size=300"
    os.utime(image, ns=(0, 0))
    pixels, headers = get(client, path)
    assert not is_marked(pixels)
    assert "immutable" in headers["cache-control"]
    paint(image, ground=140)
    pixels, headers = get(client, path)
    assert is_marked(pixels)
    assert headers["cache-control"] == "no-store"


def test_a_small_crop_reads_no_image_of_a_bucket(
    served: tuple[TestClient, list[Point]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, points = served
    read: list[str] = []
    images = client.app.state.service.images  # type: ignore[attr-defined]
    monkeypatch.setattr(images, "pixels", lambda payload: read.append(payload.uri))
    get(client, f"/v1/objects/{points[2].id}/crop.jpg?size=512")
    assert read == []
