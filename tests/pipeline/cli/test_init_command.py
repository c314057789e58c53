"""`objseek init`: what it makes on a server, what it says, and that an ingest fills it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support import fakes
from support.qdrant_server import QdrantServer, qdrant_server
from typer.testing import CliRunner

from pipeline.cli.commands import init, optimize
from pipeline.jobs.ingest import ingest
from pipeline.settings import Settings
from schemas.options import IndexOptions
from schemas.points import IndexQuery
from workers.indexes.filters import EVERY_POINT
from workers.indexes.open import open_index

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
runner = CliRunner()
app = typer.Typer()
init.register(app)
optimize.register(app)
app.callback()(lambda: None)
DIM = fakes.MeanEmbedder.dim


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[QdrantServer]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with qdrant_server() as running:
        yield running


def invoke(*args: object) -> tuple[int, str, str]:
    result = runner.invoke(app, [*map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def made_with(server: QdrantServer) -> list[dict[str, Any]]:
    return [request.body for request in server.requests if request.operation == "PUT /"]


def test_what_is_made(server: QdrantServer) -> None:
    place = f"{server.url}/photos"
    code, out, err = invoke(
        "init", "--index", place, "--objects", 50_000_000, "--nodes", 3, "--memory", "64GB",
        "--dim", 512,
    )  # fmt: skip
    assert (code, err) == (0, "")
    (body,) = made_with(server)
    assert body["shard_number"] == 6
    assert body["replication_factor"] == 2
    assert body["write_consistency_factor"] == 1
    assert body["on_disk_payload"] is True
    assert body["hnsw_config"] == {"m": 0, "on_disk": False}
    assert body["quantization_config"] == {"turbo": {"bits": "bits4", "always_ram": True}}
    (vector,) = body["vectors"].values()
    assert (vector["size"], vector["on_disk"]) == (512, True)
    indexed = [r for r in server.requests if r.operation == "PUT /index"]
    lines = out.splitlines()
    assert lines[0] == (
        f"{place}: 50,000,000 objects, 55.0 million points of 512 numbers, on 3 nodes"
    )
    assert f"{len(indexed)} fields" in out
    assert "It wants 63.4 GB of memory and 1.1 TB of disk, 21.1 GB and 362.0 GB on each node" in out
    assert "It was made." in lines
    assert lines[-1] == f"Then have its graph made with: objseek optimize --index {place}"


def test_again_changes_nothing_and_another_is_refused(server: QdrantServer) -> None:
    call = ("init", "--index", f"{server.url}/photos", "--objects", 2_000_000, "--nodes", 2)
    assert invoke(*call)[0] == 0
    code, out, _ = invoke(*call)
    assert code == 0
    assert "It is set up so already: nothing was changed." in out
    code, _, err = invoke(*call, "--replicas", 2)
    assert code == 2
    assert err == (
        f"Error: the collection 'photos' at {server.url} is there already, with "
        "replication_factor 1 where 2 was chosen: nothing of it is changed\n"
    )
    code, _, err = invoke(*call, "--dim", 9)
    assert code == 2
    assert "holds vectors of 256 numbers, and is to be set up for 9" in err
    assert len(made_with(server)) == 1


def test_an_ingest_fills_it_and_then_its_graph_is_made(
    server: QdrantServer, tmp_path: Path
) -> None:
    place = f"{server.url}/photos"
    assert invoke("init", "--index", place, "--objects", 10**7, "--dim", DIM)[0] == 0
    fakes.write_images(tmp_path / "images", 3)
    settings = fakes.settings(tmp_path / "index").model_copy(
        update={"index": IndexOptions(location=place)}
    )
    assert isinstance(settings, Settings)
    assert (
        ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings)).counts.done == 3
    )
    assert len(made_with(server)) == 1
    code, out, _ = invoke("optimize", "--index", place)
    assert (code, out) == (0, "the server puts 9 points in order, and goes on answering\n")
    changed = [request.body for request in server.requests if request.operation == "PATCH /"]
    assert changed == [{"hnsw_config": {"m": 16}}]
    # It is no longer filled: nothing more is asked for.
    assert invoke("optimize", "--index", place)[0] == 0
    assert [r.operation for r in server.requests].count("PATCH /") == 1
    # Set up as it is, filled or not.
    assert invoke("init", "--index", place, "--objects", 10**7, "--dim", DIM)[0] == 0


def test_quantized_vectors_rank_again_by_the_whole_ones(server: QdrantServer) -> None:
    rescored = {"quantization": {"rescore": True, "oversampling": 2.0}}
    for name, objects, expected in (("many", 10**7, rescored), ("few", 1000, None)):
        place = f"{server.url}/{name}"
        assert invoke("init", "--index", place, "--objects", objects, "--dim", DIM)[0] == 0
        index = open_index(IndexOptions(location=place), DIM)
        vector = fakes.MeanEmbedder().embed_texts(["a"])[0]
        index.find_nearest(vector, EVERY_POINT, 5, None)
        index.rank(IndexQuery(vector, 5), EVERY_POINT, 5)
        index.close()
        queries = [r.body for r in server.requests if r.operation == "POST /points/query"][-2:]
        assert [query.get("params") for query in queries] == [expected, expected]


@pytest.mark.parametrize(("version", "found"), [("1.18.0", "turbo"), ("1.17.2", "scalar")])
def test_what_the_version_knows(version: str, found: str) -> None:
    with qdrant_server(version) as server:
        code, _, err = invoke("init", "--index", f"{server.url}/photos", "--objects", 10**7)
        assert code == 0, err
        (body,) = made_with(server)
        assert list(body["quantization_config"]) == [found]


def test_a_dry_run_makes_nothing(server: QdrantServer) -> None:
    code, out, _ = invoke(
        "init", "--index", f"{server.url}/photos", "--objects", 10**9, "--nodes", 8, "--dry-run"
    )
    assert code == 0
    assert "Nothing was made (--dry-run)." in out
    assert made_with(server) == []
    server.stop()
    call = ("init", "--index", f"{server.url}/photos", "--objects", 10**9, "--json")
    code, out, _ = invoke(*call, "--dry-run")
    report = json.loads(out)
    assert (code, report["server"], report["made"]) == (0, None, None)
    assert report["layout"]["shards"] == 55
    code, _, err = invoke(*call)
    assert code == 1
    assert f"the Qdrant server at {server.url} does not answer" in err


@pytest.mark.parametrize(
    ("place", "kind"), [("photos", "folder"), ("lance+file:///photos", "Lance table")]
)
def test_other_kinds_need_no_setting_up(place: str, kind: str) -> None:
    expected = f"A {kind} is made by its first ingest: nothing is to be set up.\n"
    call = ("init", "--index", place, "--objects", 5)
    assert invoke(*call) == (0, expected, "")
    assert json.loads(invoke(*call, "--json")[1]) == {"index": place, "made": None}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--objects 5 --memory 64", "expected a size such as 64GB or 512GiB, got '64'"),
        ("--objects 5 --memory 0GB", "expected a size such as 64GB or 512GiB, got '0GB'"),
        ("--objects 0", "should be greater than or equal to 1"),
        ("--objects 5 --replicas 2", "got 2 replicas on 1"),
        ("--objects 5 --embedder none", "no embedder is called 'none'"),
        ("--objects 5 --objects-per-image inf", "expected a finite number, got inf"),
    ],
)
def test_wrong_calls(server: QdrantServer, args: str, message: str) -> None:
    code, _, err = invoke("init", "--index", f"{server.url}/photos", *args.split())
    assert code in (1, 2)
    assert message in " ".join(err.replace("│", " ").split())
    assert made_with(server) == []


def test_the_dimension_is_the_embedders(server: QdrantServer) -> None:
    name = "ViT-B-32/laion2b_s34b_b79k"
    call = ("init", "--index", f"{server.url}/a", "--objects", 5, "--embedder", name, "--json")
    assert json.loads(invoke(*call)[1])["dim"] == 512
