"""The OpenAPI document holds: whatever it allows or forbids, no request makes the service fail."""

from __future__ import annotations

from collections import Counter
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
from service_world import served

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


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with served(tmp_path_factory.mktemp("schema"), raising=False, allowed_hosts=[_HOST]) as client:
        document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        yield document.exclude(path=_ENDLESS)


def test_no_request_makes_it_fail(api: Any) -> None:
    statuses: Counter[tuple[str, bool]] = Counter()
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any, label: str = operation.label) -> None:
            response = case.call()
            case.validate_response(response, checks=_CHECKS)
            statuses[label, response.status_code < 400] += 1

        ask()
    assert len({label for label, _ in statuses}) >= 17
    # What is asked gets through to the routes, and is not only refused at the door.
    answered = {label for label, well in statuses if well}
    assert answered >= {"POST /v1/search", "GET /v1/facets", "GET /v1/stats", "GET /metrics"}


def test_every_address_is_documented(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        document = client.get("/openapi.json").json()
        operations = [(path, method) for path, some in document["paths"].items() for method in some]
        assert len(operations) >= 18
        for path, method in operations:
            operation = document["paths"][path][method]
            assert operation["summary"], path
            assert "422" in operation["responses"] or path.endswith("z"), path
