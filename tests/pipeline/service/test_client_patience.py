"""How long the client waits for an answer: longer for what takes a service longer."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from pipeline.service.client import Client
from schemas.tag_api import TagAnswer, TagRequest

BY_IDS = TagRequest(object_ids=(uuid.UUID(int=1),), add=("red",))
BY_FILTER = TagRequest(filter=("labels=mug",), add=("red",))


@pytest.mark.parametrize(
    ("timeout_s", "request_", "read_s"),
    [(60.0, BY_IDS, 60.0), (60.0, BY_FILTER, 3600.0), (7200.0, BY_FILTER, 7200.0)],
)
def test_it_waits_until_all_under_a_filter_are_tagged(
    timeout_s: float, request_: TagRequest, read_s: float
) -> None:
    limits: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"])
        return httpx.Response(200, content=TagAnswer(found=1, changed=1).model_dump_json())

    with Client("http://127.0.0.1:8765", timeout_s=timeout_s) as client:
        client._http = httpx.Client(
            base_url="http://127.0.0.1:8765",
            transport=httpx.MockTransport(answer),
            timeout=client._http.timeout,
        )
        assert client.tag(request_).changed == 1
    assert [(each["connect"], each["read"]) for each in limits] == [(timeout_s, read_s)]
