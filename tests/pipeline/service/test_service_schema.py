"""The OpenAPI document holds: whatever it allows or forbids, no request makes the service fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.service_world import served

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
# It never ends, which is what it is for.
_ENDLESS = "/v1/ingest/events"
_HOST = "testserver"  # as schemathesis calls an application
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Any]:
    # One for each test: schemathesis ends an application with the test that asked it.
    with served(tmp_path, raising=False, allowed_hosts=[_HOST]) as client:
        document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        yield document.exclude(path=_ENDLESS)


def statuses_of(operation: Any, requests: int) -> set[int]:
    """Ask for so many things that the document allows or forbids; what was answered."""
    statuses: set[int] = set()

    @settings(max_examples=requests, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        response = case.call()
        case.validate_response(response, checks=_CHECKS)
        statuses.add(response.status_code)

    ask()
    return statuses


@pytest.mark.parametrize("requests", [12, pytest.param(60, marks=pytest.mark.long)])
def test_no_request_makes_it_fail(api: Any, requests: int) -> None:
    operations = [found.ok() for found in api.get_all_operations()]
    answered = {operation.label: statuses_of(operation, requests) for operation in operations}
    assert len(answered) >= 17
    assert max(status for statuses in answered.values() for status in statuses) < 500
    # What is asked gets through to the routes, and is not only refused at the door. Of searches,
    # which have many fields, nearly all that is made up is refused.
    for label in ("GET /v1/facets", "GET /v1/stats", "GET /metrics"):
        assert 200 in answered[label], label
    (search,) = (each for each in operations if each.label == "POST /v1/search")
    answer = search.Case(body={"text": "red", "limit": 2}, media_type="application/json").call()
    assert answer.status_code == 200
    search.validate_response(answer)


def test_every_address_is_documented(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        document = client.get("/openapi.json").json()
        operations = [
            (path, method) for path, methods in document["paths"].items() for method in methods
        ]
        assert len(operations) >= 18
        for path, method in operations:
            operation = document["paths"][path][method]
            assert operation["summary"], path
            assert "422" in operation["responses"] or path.endswith("z"), path
