"""What the service does for others: typed clients, and commands whose folder it holds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import fakes
from support.commands import objseek, running
from support.demo_world import build_demo
from support.fakes import write_images
from support.service_world import TestClient, owner
from support.waiting import PATIENCE_S, until

import pipeline.service.background_jobs
from pipeline.jobs.ingest import ingest
from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.service.client import Client
from pipeline.service.discovery import Handle, read_handle, write_handle
from schemas.api import BatchError, SearchAnswer, SearchRequest
from schemas.errors import ServiceError, ServiceUnavailableError, UsageError
from schemas.ingest_api import IngestRequest
from schemas.search import FileExample, ObjectExample
from workers.indexes.point_index import PointIndex

BIN = Path(sys.executable).parent / "objseek"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handover")
    build_demo(folder, 4)
    return folder


def rounded(hits: str) -> list[tuple[object, float, float]]:
    """What was found; a text that is asked for again has other last bits."""
    return [
        (hit["payload"], round(hit["score"], 4), round(hit["probability"], 2))
        for hit in json.loads(hits)
    ]


@pytest.mark.long
def test_serve_search_and_ingest_at_the_same_time(folder: Path, tmp_path: Path) -> None:
    index = folder / "index"
    alone = objseek("search", "a thing", "--index", str(index), "--json")
    assert alone.returncode == 0, alone.stderr
    more = tmp_path / "more"
    more.mkdir()
    (more / "new.jpg").write_bytes((folder / "scenes" / "0001.jpg").read_bytes())
    with running(index) as url:
        handle = read_handle(str(index))
        assert handle is not None
        assert handle.url == url
        assert (index / "service.json").stat().st_mode & 0o077 == 0
        delegated = objseek("search", "a thing", "--index", str(index), "--json")
        assert delegated.returncode == 0, delegated.stderr
        assert "by the service" in delegated.stderr
        assert rounded(delegated.stdout) == rounded(alone.stdout)
        calibrated = objseek(
            "search", "a thing", "--index", str(index), "--json", "--calibration", "none.json"
        )
        assert calibrated.stdout == delegated.stdout
        assert "note: the service answers, with the calibration it was st" in calibrated.stderr
        picture = str(folder / "scenes" / "0002.jpg")
        by_image = objseek("search", "--image", picture, "--kind", "image", "--index", str(index))
        assert by_image.returncode == 0, by_image.stderr
        sheet = objseek(
            "search", "a thing", "--limit", "2", "--index", str(index),
            "--sheet", str(tmp_path / "sheet.png"),
        )  # fmt: skip
        assert sheet.returncode == 0, sheet.stderr
        assert (tmp_path / "sheet.png").stat().st_size > 1000
        wrong = objseek("search", "a thing", "--filter", "colour=red", "--index", str(index))
        assert (wrong.returncode, "unknown filter field" in wrong.stderr) == (2, True)
        added = objseek(
            "ingest", str(more), "--index", str(index), "--runner", "local", "--preset", "fast"
        )
        assert added.returncode == 0, added.stdout + added.stderr
        assert "the service that has this index is asked" in added.stderr.lower()
        with Client(url, timeout_s=PATIENCE_S) as client:
            assert client.stats().images == 5
        saved = objseek("backup", str(tmp_path / "backup"), "--index", str(index))
        assert saved.returncode == 0, saved.stderr
        # Only of that image has the index of the demo's truth a record.
        assert "of 1 image in" in saved.stdout
        assert "of images that are not recorded" in saved.stderr
        # Another process that wants the folder for itself is told who has it.
        verify = objseek("verify", "--index", str(index))
        assert (verify.returncode, "in use" in verify.stderr) == (1, True)
    assert not (index / "service.json").exists()


@pytest.mark.long
def test_a_snapshot_lets_go_of_the_folder(folder: Path) -> None:
    index = folder / "index"
    with running(index, "--snapshot") as url, Client(url, timeout_s=PATIENCE_S) as client:
        stats = client.stats()
        assert stats.read_only
        assert client.search("a thing").hits
        with pytest.raises(ServiceError, match="needs a key of the scope ingest"):
            client.ingest(IngestRequest(sources=("/x",)))
        status = objseek("verify", "--index", str(index))
        assert "in use" not in status.stderr


@pytest.mark.long
def test_what_cannot_be_served_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    index = str(folder / "index")
    for args, message in (
        (["--host", "0.0.0.0"], "expected keys to listen on 0.0.0.0"),
        (["--keys", str(tmp_path / "none.json")], "there is no key in"),
        (["--host", "not.a.host.invalid", "--keys", str(tmp_path / "keys.json")], "cannot listen"),
    ):
        if "keys.json" in args[-1]:
            made = objseek("keys", "create", "me", "--keys", str(tmp_path / "keys.json"))
            assert made.stdout.startswith("objseek_")
        result = objseek("serve", "--index", index, *args)
        assert (result.returncode, message in result.stderr) == (2, True), result.stderr
        assert "Traceback" not in result.stderr
    missing = objseek("serve", "--index", str(tmp_path / "missing"))
    assert (missing.returncode, "there is no index" in missing.stderr) == (1, True)


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    path = ["--keys", str(tmp_path / "keys.json")]
    text = objseek("keys", "create", "photo team", "--days", "2", *path).stdout.strip()
    listed = objseek("keys", "list", *path).stdout
    assert "photo team" in listed
    assert text not in listed
    identity = listed.splitlines()[1].split()[0]
    assert "photo team" in objseek("keys", "revoke", identity, *path).stderr
    gone = objseek("keys", "revoke", identity, *path)
    assert (gone.returncode, "no key has the id" in gone.stderr) == (2, True)
    (tmp_path / "keys.json").write_text("{")
    broken = objseek("keys", "list", *path)
    assert (broken.returncode, "expected the keys of objseek" in broken.stderr) == (2, True)


@pytest.mark.long
def test_a_client_tells_mistakes_from_absence(folder: Path) -> None:
    away = pytest.raises(ServiceUnavailableError, match="does not answer")
    with Client("http://127.0.0.1:9") as nobody, away:
        nobody.search("a thing")
    with running(folder / "index") as url, Client(url, timeout_s=PATIENCE_S) as client:
        answer = client.search("a thing")
        assert isinstance(answer, SearchAnswer)
        first = answer.hits[0]
        assert client.object(first.object_id).payload == first.payload
        assert client.image(first.payload.image_id).objects
        assert client.crop(first.object_id, 64).startswith(b"\xff\xd8")
        assert client.mask(first.object_id).startswith(b"\x89PNG")
        assert client.preview(first.payload.image_id, 64, masks=True).startswith(b"\xff\xd8")
        assert client.facets(["area_frac>0.5"]).total == 0
        upload = client.upload(folder / "scenes" / "0001.jpg")
        assert sorted((upload.width, upload.height)) == [480, 640]
        everything = [hit.object_id for page in client.pages("a thing") for hit in page.hits]
        assert len(everything) == len(set(everything)) > 10
        like = SearchRequest(positive=(ObjectExample(object_id="x"),))
        assert isinstance(client.search_batch([like])[0], BatchError)
        with pytest.raises(UsageError, match="expected the id of an indexed object"):
            client.search(like)
        with pytest.raises(ServiceError, match=r"refused \(404\)"):
            client.object("00000000-0000-0000-0000-000000000001")
        assert client.ingest_state().state == "none"
        # The page splits the stream at blank lines.
        with httpx.stream("GET", f"{url}/v1/ingest/events") as events:
            event = next(events.iter_raw())
            assert (event[:7], event[-3:]) == (b"data: {", b"}\n\n")
    with pytest.raises(ValueError, match="positive"):
        SearchRequest(positive=(FileExample(path="/etc/passwd"),))  # type: ignore[arg-type]


def test_a_handle_of_nobody_is_passed_by(tmp_path: Path) -> None:
    assert read_handle("http://localhost:6333/photos") is None
    assert read_handle(str(tmp_path)) is None
    (tmp_path / "service.json").write_text("{")
    assert read_handle(str(tmp_path)) is None
    handle = Handle(url="http://127.0.0.1:9", token="t", pid=os.getpid())
    written = write_handle(str(tmp_path), handle)
    assert written == tmp_path / "service.json"
    assert read_handle(str(tmp_path)) == handle
    assert write_handle("http://localhost:6333/photos", handle) is None


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A service over an index of the fakes, which ingests with them.

    A poisonous image waits for the file `go`.
    """
    settings = fakes.settings(tmp_path / "index")
    write_images(tmp_path / "images", 3)
    ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))

    def ingest_waiting(sources, given, progress, index):  # type: ignore[no-untyped-def]
        recipe = fakes.recipe(given, "wait", flag=tmp_path / "go")
        return ingest(sources, given, progress, recipe, index)

    monkeypatch.setattr(pipeline.service.background_jobs, "ingest", ingest_waiting)
    opened = settings.model_copy(update={"embedder": settings.embedder})
    searcher = Searcher.open(opened)
    app = build_app(searcher, opened, "the-owner's-token")
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        yield client


def state(client: TestClient) -> dict[str, object]:
    found: dict[str, object] = client.get("/v1/ingest").json()
    return found


def wait_for(client: TestClient, wanted: str) -> dict[str, object]:
    until(lambda: state(client)["state"] == wanted)
    return state(client)


def test_an_ingest_through_the_service(service: TestClient, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 11)
    fakes.write_image(tmp_path / "images" / "waiting.png", 11, fakes.POISON)
    begun = service.post(
        "/v1/ingest", json={"sources": [str(tmp_path / "images")]}, headers=owner()
    )
    assert (begun.status_code, begun.json()["state"]) == (202, "running")
    second = service.post("/v1/ingest", json={"sources": ["/x"]}, headers=owner())
    assert (second.status_code, "at work already" in second.json()["detail"]) == (409, True)
    # Searches go on meanwhile.
    assert service.get("/v1/stats").status_code == 200
    (tmp_path / "go").touch()
    done = wait_for(service, "done")
    # Those that were there are written anew by now, as they were.
    assert (done["done"], done["unchanged"], done["listed"]) == (9, 3, 12)
    assert service.get("/v1/stats").json()["images"] == 12


def test_an_ingest_can_be_ended_and_goes_on_later(
    service: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PointIndex, "images_at_once", 4)
    write_images(tmp_path / "images", 40)
    fakes.write_image(tmp_path / "images" / "020.png", 20, fakes.POISON)
    request = {"sources": [str(tmp_path / "images")], "limit": 40}
    service.post("/v1/ingest", json=request, headers=owner())
    until(lambda: bool(state(service)["done"]))
    service.request("DELETE", "/v1/ingest", headers=owner())
    (tmp_path / "go").touch()
    ended = wait_for(service, "cancelled")
    images = service.get("/v1/stats").json()["images"]
    assert 3 < images < 40
    assert images >= int(str(ended["done"]))
    service.post("/v1/ingest", json=request, headers=owner())
    wait_for(service, "done")
    assert service.get("/v1/stats").json()["images"] == 40


def test_an_ingest_that_fails_says_why(service: TestClient, tmp_path: Path) -> None:
    missing = {"sources": [str(tmp_path / "nothing")]}
    service.post("/v1/ingest", json=missing, headers=owner())
    failed = wait_for(service, "failed")
    assert str(tmp_path / "nothing") in str(failed["error"])
    for settings, message in (
        ({"index": {"location": "/x"}}, "expected some of store, decode"),
        ({"runner": {"batch_size": 0}}, "batch_size"),
        ({"segmenter": {"colour": 1}}, "colour"),
    ):
        wrong = service.post(
            "/v1/ingest", json={"sources": ["/x"], "settings": settings}, headers=owner()
        )
        assert (wrong.status_code, message in wrong.json()["detail"]) == (422, True), wrong.text


def test_events_tell_the_progress_to_its_end(service: TestClient, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 8)
    service.post("/v1/ingest", json={"sources": [str(tmp_path / "images")]}, headers=owner())
    wait_for(service, "done")
    seen = []
    jobs = service.app.state.service.jobs  # type: ignore[attr-defined]

    async def first() -> None:
        async for event in jobs.events.listen():
            seen.append(event)
            return

    import anyio

    anyio.run(first)
    assert seen[0].state == "done"
