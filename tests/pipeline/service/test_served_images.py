"""Contact sheets through a service, without reading what only the service can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.service_world import served

from pipeline.search.mask_prompt import encode_mask
from pipeline.service.client import Client
from pipeline.service.delegation import build_request
from pipeline.service.served_images import find_served_subject, read_served_images
from pipeline.settings import Settings
from schemas.api import SearchRequest
from schemas.images import DecodedImage, Failure, UInt8Image
from schemas.search import FileExample, ObjectExample, SearchQuery, TextExample, UploadExample


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Client]:
    with served(tmp_path) as http:
        client = Client(str(http.base_url))
        client.close()
        client._http = http
        yield client


def test_the_service_gives_the_images_of_hits(service: Client, tmp_path: Path) -> None:
    hits = service.search("red").hits
    (tmp_path / "two.png").unlink()
    images = list(read_served_images([hit.payload for hit in hits], service))
    assert len(images) == len(hits) == 4
    for hit, image in zip(hits, images, strict=True):
        if hit.payload.uri.endswith("two.png"):
            assert isinstance(image, Failure)
            assert "two.png" in image.message or "404" in image.message or image.gone
            continue
        assert isinstance(image, DecodedImage)
        assert image.size_hw == (hit.payload.height, hit.payload.width)
        x0, y0, x1, y1 = hit.payload.bbox
        middle = image.pixels[(y0 + y1) // 2, (x0 + x1) // 2].astype(int)
        name = hit.payload.uri.rpartition("/")[2]
        colour = {"one.png": (255, 0, 0), "three.png": (0, 255, 0)}[name]
        assert np.abs(middle - colour).max() < 12


def test_the_picture_that_was_searched_with(service: Client, tmp_path: Path) -> None:
    settings = Settings()

    def find(query: SearchQuery) -> UInt8Image | None:
        answer = service.search(build_request(service, query, settings))
        return find_served_subject(query, answer, service, settings)

    red = service.search("red").hits[0]
    # Drawn round the blue square, wider than it.
    mine = FileExample(path=str(tmp_path / "two.png"), box_xyxy=(52, 10, 108, 76))
    by_file = find(SearchQuery(positive=(mine,)))
    assert by_file is not None
    assert by_file.shape == (50, 40, 3)
    assert (by_file == (0, 0, 255)).all()
    whole = find(SearchQuery(positive=(FileExample(path=str(tmp_path / "two.png")),)))
    assert whole is not None
    assert whole.shape == (80, 120, 3)
    like = SearchQuery(positive=(ObjectExample(object_id=red.object_id),))
    by_object = find(like)
    assert by_object is not None
    middle = by_object[by_object.shape[0] // 2, by_object.shape[1] // 2].astype(int)
    assert np.abs(middle - (255, 0, 0)).max() < 12
    words = SearchQuery(positive=(TextExample(text="red"),))
    assert find(words) is None


def test_a_query_reaches_the_service_with_its_mask_and_what_is_to_be_collapsed(
    service: Client, tmp_path: Path
) -> None:
    blue = np.zeros((80, 120), bool)
    blue[12:72, 60:100] = True
    path = str(tmp_path / "two.png")
    masked = FileExample(path=path, mask=encode_mask(blue), weight=2.0)
    query = SearchQuery(positive=(masked,), collapse=True, limit=3)
    request = build_request(service, query, Settings())
    (sent,) = request.positive
    assert isinstance(sent, UploadExample)
    assert (request.collapse, sent.mask, sent.weight) == (True, masked.mask, 2.0)
    answer = SearchRequest.model_validate_json(request.model_dump_json(exclude_unset=True))
    assert answer == request
