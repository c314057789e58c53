"""The commands of another embedder, beside a service that is asked all the time."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support import fakes
from support.commands import objseek, running
from support.tiny_clip import write_folder
from support.waiting import PATIENCE_S, until

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.runners.recipe import build_recipe
from pipeline.service.client import Client
from pipeline.settings import Settings

pytestmark = pytest.mark.long

IMAGES = 12
QUERIES = 1000
HITS = 10


@pytest.fixture
def index(tmp_path: Path) -> Settings:
    """Objects of the fakes with the vectors of the demo's embedder."""
    fakes.write_images(tmp_path / "images", IMAGES)
    settings = fakes.settings(tmp_path / "index")
    recipe = replace(build_recipe(settings), segmenter=fakes.segmenter)
    ingest([str(tmp_path / "images")], settings, recipe=recipe)
    return settings


def test_a_service_switches_over_between_two_queries(
    index: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBJSEEK_SERVE__REQUESTS_PER_MINUTE", "1000000")
    embedder = f"local-dir:{write_folder(tmp_path / 'clip')}"
    location = index.index.location
    seen: list[str] = []
    ended = threading.Event()

    def search(url: str) -> None:
        with Client(url, timeout_s=PATIENCE_S) as client:
            while not ended.is_set() or len(seen) < QUERIES:
                hits = client.search("a thing").hits
                assert len(hits) == HITS
                (used,) = {hit.payload.embedder for hit in hits}
                seen.append(used)

    with running(Path(location)) as url, ThreadPoolExecutor(1) as pool:
        searching = pool.submit(search, url)
        until(lambda: bool(seen) or searching.done())
        done = objseek("reembed", "--embedder", embedder, "--index", location, "--runner", "local")
        ended.set()
        searching.result()
        assert done.returncode == 0, done.stderr
        assert "the service that has this index is asked" in done.stderr.lower()
        assert f"{IMAGES} images with {2 * IMAGES} objects embedded" in done.stdout
        with Client(url, timeout_s=PATIENCE_S) as client:
            assert client.stats().dim == 24
            assert client.ingest_state().generation is not None
        # The other way round, while it goes on answering.
        back = objseek("generations", "--index", location, "--use", "first", "--json")
        assert back.returncode == 0, back.stderr
        assert [generation["current"] for generation in json.loads(back.stdout)] == [True, False]
    assert len(seen) >= QUERIES
    switched = seen.index(seen[-1])
    assert switched > 0
    assert set(seen[:switched]) == {"clip_demo"}
    assert len(set(seen[switched:])) == 1


def test_the_commands(index: Settings, tmp_path: Path) -> None:
    embedder = f"local-dir:{write_folder(tmp_path / 'clip')}"
    place = ["--index", index.index.location]
    nothing = objseek("reembed", *place)
    assert (nothing.returncode, "name it with --embedder" in nothing.stderr) == (2, True)
    missing = objseek("reembed", "--embedder", "local-dir:/nowhere", *place, "--runner", "local")
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False), missing.stderr
    done = objseek("reembed", "--embedder", embedder, *place, "--runner", "local")
    assert done.returncode == 0, done.stderr
    assert f"Ingest with --embedder {embedder} from now on." in done.stdout
    found = objseek("search", "a thing", *place, "--json")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)) == HITS
    status = json.loads(objseek("status", *place, "--json").stdout)
    assert status["dim"] == 24
    (made_by,) = status["pipelines"]
    assert (made_by["segmenter"], made_by["images"]) == ("bright", IMAGES)
    assert [generation["current"] for generation in status["kept"]] == [False, True]
    listed = objseek("generations", *place).stdout.splitlines()
    assert listed[0].split() == ["first", str(IMAGES), "images", "done", index.index.location]
    assert "in use" in listed[1]
    unknown = objseek("generations", *place, "--drop", "second")
    assert (unknown.returncode, "expected one of the generations" in unknown.stderr) == (2, True)
    assert objseek("generations", *place, "--drop", "first").returncode == 0
    assert verify(index).findings == []
    assert IndexHome.current(index).index.location != index.index.location
