"""`objseek tag`: by ids, from standard input, by a filter, through a service."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from starlette.testclient import TestClient
from support.colour_world import build_index
from support.service_world import owner, served
from typer.testing import CliRunner

from pipeline.cli import service_fallback
from pipeline.cli.main import app
from pipeline.service.client import Client
from workers.indexes.open import open_index


@pytest.fixture
def index(tmp_path: Path) -> str:
    """An index of four squares in three images."""
    return build_index(tmp_path).index.location


def run(*args: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["tag", *args], input=given)


def ids_in(location: str) -> list[str]:
    """Of the objects, the largest first."""
    settings = build_index_settings(location)
    with open_index(settings, None) as opened:
        objects = [point for point in opened.scroll() if point.payload["kind"] == "object"]
    return [point.id for point in sorted(objects, key=lambda point: -point.payload["area"])]


def build_index_settings(location: str) -> Any:
    from schemas.options import IndexOptions

    return IndexOptions(location=location)


def test_objects_are_tagged_by_ids_and_by_filters(index: str) -> None:
    first, second, *_ = ids_in(index)
    place = ("--index", index)
    done = run(first, second, "--add", "to print", "--add", " red ", *place)
    assert (done.exit_code, done.stdout) == (0, "2 objects, 2 changed\n"), done.output
    done = run("--filter", "tags=red", "area>0", "--remove", "red", *place)
    assert (done.exit_code, done.stdout) == (0, "2 objects, 2 changed\n"), done.output
    done = run("-", "--add", "to print", "--add", "new", "--json", *place, given=f"{first}\n")
    assert (done.exit_code, json.loads(done.stdout)) == (
        0, {"found": 1, "changed": 1, "missing": []},
    )  # fmt: skip
    listed = run(*place)
    assert listed.stdout.splitlines() == ["objects  tag", "2        to print", "1        new"]
    assert listed.stderr == "2 tags\n"
    only = run("--filter", "tags=new", "--json", *place)
    assert json.loads(only.stdout) == {"new": 1, "to print": 1}


def test_ids_that_are_not_there_are_told_and_the_others_tagged(index: str) -> None:
    (first, *_), absent = ids_in(index), str(uuid.UUID(int=7))
    done = run(first, absent, "--add", "red", "--index", index)
    assert (done.exit_code, done.stdout) == (2, "1 object, 1 changed\n")
    assert done.stderr == (
        f"Error: expected ids of objects of the index, it has none of 1 of them: {absent}\n"
    )


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path) as made:
        yield made


# The client of tests warns of every limit, which it does not keep.
@pytest.mark.filterwarnings("ignore:You should not use the 'timeout' argument")
def test_a_service_that_has_the_folder_does_it(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Client.__new__(Client)
    service._http, service._url = client, "http://127.0.0.1"  # type: ignore[assignment]
    client.headers.update(owner())
    monkeypatch.setattr(service_fallback, "find_service", lambda location: service)
    monkeypatch.setattr(Client, "close", lambda self: None)
    location = str(tmp_path / "index")
    hits = client.post("/v1/search", json={"text": "red"}).json()["hits"]
    ids = [hit["object_id"] for hit in hits]
    assert len(ids) == 4
    done = run(*ids[:2], "--add", "red", "--index", location)
    assert (done.exit_code, done.stdout) == (0, "2 objects, 2 changed\n"), done.output
    done = run("--filter", "tags=red", "--add", "new", "--index", location)
    assert (done.exit_code, done.stdout) == (0, "2 objects, 2 changed\n"), done.output
    assert json.loads(run("--json", "--index", location).stdout) == {"new": 2, "red": 2}
