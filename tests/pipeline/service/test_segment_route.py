"""`POST /v1/segment`: an upload or an indexed image, by what is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support.colour_world import COLOURS, GREY, ColourSegmenter
from support.segment_world import PromptableColours
from support.service_world import served

from pipeline.service.client import Client
from schemas.masks import CocoRle
from schemas.segment_api import SegmentRequest

RED, BLUE = [5, 5, 25, 30], [40, 10, 70, 50]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(tmp_path_factory.mktemp("world")) as client:
        use(client, PromptableColours())
        yield client


def use(client: TestClient, segmenter: ColourSegmenter) -> None:
    searcher = client.app.state.service.queue.searcher  # type: ignore[attr-defined]
    searcher.models._segmenter = segmenter


@pytest.fixture(scope="module")
def upload(client: TestClient) -> str:
    pixels = np.full((60, 80, 3), GREY, np.uint8)
    for name, (x0, y0, x1, y1) in (("red", RED), ("blue", BLUE)):
        pixels[y0:y1, x0:x1] = COLOURS[name]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    identity: str = client.post("/v1/uploads", content=buffer.getvalue()).json()["upload_id"]
    return identity


def segment(client: TestClient, status: int = 200, **request: object) -> dict[str, Any]:
    answer = client.post("/v1/segment", json=request)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_everything_of_an_upload(client: TestClient, upload: str) -> None:
    told = segment(client, upload_id=upload)
    assert (told["width"], told["height"], told["segmenter"]) == (80, 60, "squares")
    assert [mask["bbox"] for mask in told["masks"]] == [BLUE, RED]
    first = told["masks"][0]
    rle = CocoRle(tuple(first["rle"]["size"]), first["rle"]["counts"])
    assert (rle.area_px, first["area"], first["area_frac"]) == (1200, 1200, 0.25)
    assert (first["label"], first["predicted_iou"]) == (None, 0.9)


def test_a_prompt_of_points_box_and_mask(client: TestClient, upload: str) -> None:
    points = [{"x": 50, "y": 20}, {"x": 10, "y": 10, "label": 0}]
    (mask,) = segment(client, upload_id=upload, points=points)["masks"]
    assert mask["bbox"] == BLUE
    (again,) = segment(client, upload_id=upload, mask=mask["rle"])["masks"]
    assert again["bbox"] == BLUE
    (boxed,) = segment(client, upload_id=upload, box=[4, 4, 27, 31])["masks"]
    assert boxed["bbox"] == RED


def test_every_pixel_by_labels(client: TestClient, upload: str) -> None:
    told = segment(client, upload_id=upload, labels=["red", "blue", "green"])
    assert [(mask["bbox"], mask["label"]) for mask in told["masks"]] == [
        (BLUE, "blue"),
        (RED, "red"),
    ]
    assert all(mask["score"] > 0.9 for mask in told["masks"])


def test_an_indexed_image(client: TestClient) -> None:
    (hit,) = client.post("/v1/search", json={"text": "green", "limit": 1}).json()["hits"]
    told = segment(client, image_id=hit["payload"]["image_id"], points=[{"x": 40, "y": 40}])
    assert [mask["bbox"] for mask in told["masks"]] == [[30, 30, 90, 70]]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({}, "expected either an upload_id or an image_id"),
        ({"points": [{"x": 1, "y": 1}], "texts": ["red"]}, "expected a prompt of points, box and"),
        ({"points": [{"x": 500, "y": 1}]}, "expected a point within 80 x 60 pixels"),
        ({"points": [{"x": 1, "y": 1, "label": 2}]}, "label"),
        ({"box": [9, 9, 1, 1]}, "expected a box within 80 x 60 pixels"),
        ({"mask": {"size": [9, 9], "counts": "0"}}, "expected a mask of size [60, 80], got one of"),
        ({"mask": {"size": [60, 80], "counts": "~"}}, "expected a mask as COCO's compressed RLE"),
        ({"texts": [" "]}, "expected a text that says what to look for"),
        ({"labels": ["red", "red"]}, "the label 'red' stands twice"),
        ({"min_probability": 0.5}, "expected texts to go with min_probability"),
        ({"image_id": "00000000-0000-0000-0000-000000000000"}, "expected either an upload_id"),
    ],
)
def test_a_wrong_request_is_a_sentence(
    client: TestClient, upload: str, request_: dict[str, object], sentence: str
) -> None:
    whole = request_ and {"upload_id": upload, **request_}
    assert sentence in segment(client, 422, **whole)["detail"]


def test_an_image_that_is_not_there(client: TestClient) -> None:
    told = segment(client, 422, upload_id="gone")
    assert "no upload has this id" in told["detail"]
    told = segment(client, 422, image_id="00000000-0000-0000-0000-000000000000")
    assert "the index holds no image" in told["detail"]


def test_the_client_is_typed(client: TestClient, upload: str) -> None:
    request = SegmentRequest(upload_id=upload, box=(4.0, 4.0, 27.0, 31.0))
    asking = Client("http://127.0.0.1")
    asking._http = client
    answer = asking.segment(request)
    assert answer.segmenter == "squares"
    assert answer.masks[0].bbox == tuple(RED)


def test_a_segmenter_without_prompts(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        use(client, ColourSegmenter())
        (hit,) = client.post("/v1/search", json={"text": "green", "limit": 1}).json()["hits"]
        identity = hit["payload"]["image_id"]
        told = segment(client, 422, image_id=identity, points=[{"x": 40, "y": 40}])
        assert told["detail"] == (
            "expected a segmenter that takes points, boxes and masks, got squares"
        )
