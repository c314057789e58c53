"""Uploads: what they show is found in the background, and boxes in them wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support.colour_world import COLOURS, GREY, ColourSegmenter
from support.service_world import served
from support.waiting import PATIENCE_S, until

from pipeline.service.dependencies import Service
from pipeline.service.routes import uploads as routes_uploads
from schemas.errors import ModelError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask


class HeldSegmenter(ColourSegmenter):
    """Segments when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.widths: list[int] = []

    def segment(self, images: list[UInt8Image]) -> list[list[ObjectMask]]:  # type: ignore[override]
        self.begun.set()
        self.widths += [image.shape[1] for image in images]
        assert self.let.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return super().segment(images)


@contextmanager
def serving(folder: Path, **serve: Any) -> Iterator[tuple[TestClient, HeldSegmenter]]:
    segmenter = HeldSegmenter()
    with served(folder, **serve) as client:
        service_of(client).queue.searcher.models._segmenter = segmenter
        try:
            yield client, segmenter
        finally:
            segmenter.let.set()


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uploads")
    pixels = np.full((80, 120, 3), GREY, np.uint8)
    pixels[30:60, 5:35] = COLOURS["red"]
    pixels[10:50, 70:110] = COLOURS["green"]
    Image.fromarray(pixels).save(folder / "own.bmp")
    return folder


def upload(client: TestClient, path: Path) -> str:
    answer = client.post("/v1/uploads", content=path.read_bytes())
    assert answer.status_code == 201
    identity: str = answer.json()["upload_id"]
    return identity


def box_in(identity: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"positive": [{"upload_id": identity, "box_xyxy": box}], "limit": 1}


def test_the_objects_of_an_upload_are_found_in_the_background(folder: Path) -> None:
    with serving(folder) as (client, segmenter):
        identity = upload(client, folder / "own.bmp")
        assert segmenter.begun.wait(PATIENCE_S)
        # Searches go on meanwhile.
        assert client.post("/v1/search", json={"text": "red"}).json()["hits"]
        segmenter.let.set()
        answer = client.get(f"/v1/uploads/{identity}/objects").json()
        assert (answer["state"], answer["copies"]) == ("found", [])
        green, red = answer["objects"]
        assert (green["bbox"], green["area"]) == ([70, 10, 110, 50], 1600)
        assert (red["bbox"], red["object_id"]) == ([5, 30, 35, 60], None)
        assert CocoRle((80, 120), red["rle"]["counts"]).area_px == 900
        assert client.get("/v1/uploads/nobody/objects").status_code == 404
        # Each can be searched with, by its place in the list.
        for place, name in enumerate(("three.png", "one.png")):
            example = {"upload_id": identity, "object_index": place}
            page = client.post("/v1/search", json={"positive": [example]}).json()
            assert page["hits"][0]["payload"]["uri"].endswith(name)
            assert page["hits"][0]["payload"]["kind"] == "object"
            (region,) = page["regions"]
            assert region["choice"] == "found"
            assert region["rle"] == answer["objects"][place]["rle"]
        beyond = {"upload_id": identity, "object_index": 2}
        refused = client.post("/v1/search", json={"positive": [beyond]})
        assert (refused.status_code, refused.json()["detail"]) == (
            422,
            "the upload has 2 objects, it has none at place 2",
        )
        two = client.post("/v1/search", json={"positive": [{**beyond, "point_xy": [1, 1]}]})
        assert two.status_code == 422


def test_a_box_in_an_upload_waits_for_its_objects(folder: Path) -> None:
    with serving(folder) as (client, segmenter), ThreadPoolExecutor(1) as pool:
        identity = upload(client, folder / "own.bmp")
        assert segmenter.begun.wait(PATIENCE_S)
        request = box_in(identity, (0, 24, 42, 68))
        searching = pool.submit(client.post, "/v1/search", json=request)
        exact = {**request["positive"][0], "exact_box": True}
        at_once = client.post("/v1/search", json={"positive": [exact]}).json()
        assert at_once["regions"][0]["choice"] == "box"
        assert not searching.done()
        segmenter.let.set()
        answer = searching.result().json()
        (region,) = answer["regions"]
        assert (region["bbox"], region["choice"]) == ([5, 30, 35, 60], "found")
        assert answer["hits"][0]["payload"]["uri"].endswith("one.png")
        assert segmenter.segmented == 1
        nothing = client.post("/v1/search", json=box_in(identity, (40, 62, 60, 80))).json()
        assert nothing["regions"][0]["choice"] == "fallback"
        assert nothing["regions"][0]["bbox"] == [40, 62, 60, 80]
        batch = {"queries": [request, request]}
        results = client.post("/v1/search/batch", json=batch).json()["results"]
        assert [result["regions"][0]["choice"] for result in results] == ["found", "found"]


def test_who_asks_too_early_is_told_that_they_are_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_uploads, "_WAIT_S", 0.01)
    with serving(folder) as (client, segmenter):
        identity = upload(client, folder / "own.bmp")
        assert segmenter.begun.wait(PATIENCE_S)
        answer = client.get(f"/v1/uploads/{identity}/objects").json()
        assert answer == {"upload_id": identity, "state": "looking", "copies": [], "objects": []}


def test_an_upload_that_is_indexed_has_the_objects_of_the_index(folder: Path) -> None:
    with serving(folder) as (client, segmenter):
        identity = upload(client, folder / "two.png")
        answer = client.get(f"/v1/uploads/{identity}/objects").json()
        assert not segmenter.begun.is_set()
        (copy,) = answer["copies"]
        assert copy["exact"]
        assert copy["uri"].endswith("two.png")
        assert [found["bbox"] for found in answer["objects"]] == [
            [60, 20, 100, 70],
            [10, 10, 40, 50],
        ]
        pink = client.get(f"/v1/objects/{answer['objects'][1]['object_id']}").json()
        assert pink["payload"]["bbox"] == [10, 10, 40, 50]
        page = client.post("/v1/search", json={"positive": [{"upload_id": identity}]}).json()
        assert page["copies"] == [copy]
        assert page["relevance"] == "strong"
        assert {hit["payload"]["kind"] for hit in page["hits"]} == {"image", "object"}


@pytest.mark.parametrize(
    "error", [ModelError("no weights are there"), RuntimeError("CUDA out of memory")]
)
def test_why_nothing_can_be_found_is_said(folder: Path, error: Exception) -> None:
    expected = {
        ModelError: "no weights are there",
        RuntimeError: "the segmenter could not find the objects of the upload",
    }[type(error)]
    with serving(folder) as (client, segmenter):
        segmenter.error = error
        segmenter.let.set()
        identity = upload(client, folder / "own.bmp")
        answer = client.get(f"/v1/uploads/{identity}/objects")
        assert (answer.status_code, answer.json()["detail"]) == (503, expected)
        searched = client.post("/v1/search", json=box_in(identity, (0, 24, 42, 68)))
        assert (searched.status_code, searched.json()["detail"]) == (503, expected)
        batch = {"queries": [{"text": "red"}, box_in(identity, (0, 24, 42, 68))]}
        there, not_there = client.post("/v1/search/batch", json=batch).json()["results"]
        assert there["hits"]
        assert not_there == {"status": 503, "detail": expected}
        # The next one is looked at all the same.
        segmenter.error = None
        other = upload(client, folder / "own.bmp")
        assert client.get(f"/v1/uploads/{other}/objects").json()["state"] == "found"


def test_the_latest_upload_is_looked_at_first(folder: Path, tmp_path: Path) -> None:
    with serving(folder) as (client, segmenter):
        for width in (90, 100, 110, 120):
            path = tmp_path / f"{width}.png"
            Image.new("RGB", (width, 90), (width, 7, 7)).save(path)
            upload(client, path)
            assert segmenter.begun.wait(PATIENCE_S)
        segmenter.let.set()
        until(lambda: not service_of(client).finder.is_busy)
        assert segmenter.widths == [90, 120, 110, 100]
