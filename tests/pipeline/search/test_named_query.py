"""Searching by named vectors of one's own: from Python, by the command, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from support.named_world import DIMS, write_titles
from support.service_world import served, settings_of
from support.sparse_world import BLUE, PINK, RED, forbid_models
from typer.testing import CliRunner

import objseek
from objseek import Index
from pipeline.cli.main import app
from schemas.errors import UsageError

TITLE = [0.1, 1.0, 0.0]
PLACES = "(poster of 16 numbers, title of 3 numbers)"
UNKNOWN = f"expected the name of a vector of the index in `using` {PLACES}, got 'smell'"

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"vector": TITLE, "using": "smell"}, UNKNOWN),
    (
        {"vector": [1.0, 2.0], "using": "title"},
        f"expected a vector of 3 numbers to search by 'title' of the index {PLACES}, got 2",
    ),
    ({"using": "title", "text": "red"}, "expected a vector to search by 'title', got none"),
    (
        {"vector": TITLE, "using": "title", "text": "red"},
        "expected a vector alone to search by 'title', got a text beside it",
    ),
    (
        {"vector": TITLE, "using": "title", "diversity": 0.5},
        "expected a vector alone to search by 'title', got diversity beside it",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("named")
    write_titles(settings_of(made))
    np.save(made / "title.npy", np.array(TITLE, np.float32))
    np.save(made / "long.npy", np.ones(5))
    return made


@pytest.fixture(autouse=True)
def _no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_models(monkeypatch)


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with objseek.connect(folder / "index") as connected:
        yield connected


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with served(folder) as made:
        yield made


def test_from_python(index: Index) -> None:
    hits = index.search(vector=TITLE, using="title")
    assert [(hit.uri.rpartition("/")[2], hit.bbox_xyxy) for hit in hits] == [PINK, BLUE, RED]
    unit = np.array(TITLE) / np.linalg.norm(TITLE)
    assert [hit.score for hit in hits] == pytest.approx(
        [unit[1], 0.6 * unit[0] + 0.8 * unit[1], unit[0]], abs=1e-5
    )
    assert [hit.probability for hit in hits] == [None] * 3
    big = index.search(vector=TITLE, using="title", filter="area>1700", limit=1)
    assert [hit.bbox_xyxy for hit in big] == [BLUE[1]]
    assert len(index.search(vector=TITLE, using="title", group_size=1)) == 2
    assert len(index.search(vector=np.ones(16), using="poster")) == 0


@pytest.mark.parametrize(("asked", "why"), WRONG)
def test_what_is_wrong_is_a_sentence(index: Index, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        index.search(**asked)
    assert str(caught.value) == why


def test_over_http(client: TestClient) -> None:
    query = {"vector": TITLE, "using": "title", "limit": 2}
    answer = client.post("/v1/search", json=query).json()
    boxes = [tuple(hit["payload"]["bbox"]) for hit in answer["hits"]]
    assert boxes == [PINK[1], BLUE[1]]
    after = client.post("/v1/search", json={**query, "cursor": answer["cursor"]}).json()
    assert [tuple(hit["payload"]["bbox"]) for hit in after["hits"]] == [RED[1]]
    assert after["cursor"] is None
    assert client.get("/v1/stats").json()["vectors"] == DIMS
    for wrong, why in WRONG:
        refused = client.post("/v1/search", json=wrong)
        assert (refused.status_code, refused.json()["detail"]) == (422, why)


def call(folder: Path, *more: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["search", "--index", str(folder / "index"), *more])
    return result.exit_code, result.stdout, result.stderr


def test_by_the_command(folder: Path, tmp_path: Path) -> None:
    title, sheet = str(folder / "title.npy"), tmp_path / "sheet.png"
    by_title = ("--vector", title, "--using", "title")
    code, printed, _ = call(folder, *by_title, "--json", "--sheet", str(sheet))
    assert code == 0
    boxes = [tuple(hit["payload"]["bbox"]) for hit in json.loads(printed)]
    assert boxes == [PINK[1], BLUE[1], RED[1]]
    assert sheet.stat().st_size > 1000
    assert call(folder, "--vector", title, "--using", "smell")[::2] == (2, f"Error: {UNKNOWN}\n")
    long = folder / "long.npy"
    assert call(folder, "--vector", str(long), "--using", "title")[::2] == (
        2,
        f"Error: expected a vector of 3 numbers in {long}, as 'title' {PLACES} of the index, "
        "got 5\n",
    )
    assert call(folder, *by_title, "a cup")[::2] == (
        2, "Error: expected a vector alone to search by 'title', got further examples beside it\n",
    )  # fmt: skip
