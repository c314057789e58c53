"""A manifest that several jobs share, in a folder and in a bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import fakes
from support.paths import ROOT
from support.s3_server import S3Server, moto_server, real_server

from pipeline.index_home import open_manifest
from pipeline.jobs.ingest import ingest
from pipeline.jobs.retry import retry
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.manifest.manifest import Manifest
from pipeline.settings import Settings
from schemas.errors import StoreAccessError, UsageError
from schemas.ids import ImageRevision
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from schemas.options import IndexOptions, StoreOptions

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
WRITERS, ROUNDS, ROWS = 3, 12, 5


@pytest.fixture(params=["folder", "moto", "real"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, StoreOptions]]:
    """Where the manifest is, and how a bucket is reached."""
    if request.param == "folder":
        yield str(tmp_path / "state"), StoreOptions()
        return
    with moto_server() if request.param == "moto" else real_server() as server:
        assert isinstance(server, S3Server)
        yield (
            f"s3://{server.make_bucket()}/some/state",
            StoreOptions(endpoint_url=server.endpoint_url),
        )
        server.close()


def shared(place: tuple[str, StoreOptions]) -> Manifest:
    return open_manifest(IndexOptions(state=place[0]), place[1])


def done(key: str) -> ManifestRow:
    ref = ImageRef("s3", "photos", key, "v1", 10)
    return ManifestRow.done(ref, ImageRevision("v1", "f1"), 3, datetime.now(UTC))


def work(name: str, state: str, endpoint: str) -> None:
    """Append, compact and read by turns, as a job does; what is appended is there at once."""
    manifest = shared((state, StoreOptions(endpoint_url=endpoint or None)))
    for turn in range(ROUNDS):
        rows = [done(f"{name}/{turn}/{number}") for number in range(ROWS)]
        manifest.append([*rows, done(f"{name}/again")])
        manifest.flush()
        own_uris = {
            row.uri for row in manifest.latest() if row.uri.startswith(f"s3://photos/{name}/")
        }
        assert len(own_uris) == (turn + 1) * ROWS + 1
        manifest.compact()


@pytest.mark.long
def test_jobs_that_write_at_once_lose_nothing(place: tuple[str, StoreOptions]) -> None:
    arguments = [place[0], place[1].endpoint_url or ""]
    jobs = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__)), f"job-{number}", *arguments],
            env={**os.environ, **ENVIRONMENT},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    stderrs = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * WRITERS, stderrs
    manifest = shared(place)
    assert manifest.counts()[State.DONE] == WRITERS * (ROUNDS * ROWS + 1)
    manifest.compact()
    assert len(list(manifest.latest())) == WRITERS * (ROUNDS * ROWS + 1)
    assert len(manifest._parts.sizes()) < WRITERS * ROUNDS / 2


def at(index: Path, place: tuple[str, StoreOptions]) -> Settings:
    settings = fakes.settings(index)
    options = settings.index.model_copy(update={"state": place[0]})
    return settings.model_copy(update={"index": options, "store": place[1]})


def test_every_command_finds_a_manifest_that_is_elsewhere(
    place: tuple[str, StoreOptions], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    for name in ("a", "b"):
        fakes.write_images(images / name, 6)
    (images / "b" / "bad.png").write_bytes(b"no image")
    settings = at(tmp_path / "index", place)
    recipe = fakes.recipe(settings)
    assert ingest([str(images / "a")], settings, recipe=recipe).counts.done == 6
    counts = ingest([str(images / "b")], settings, recipe=recipe).counts
    assert (counts.done, counts.rejected) == (6, 1)
    # Known from there, not from a file beside the index: no model is loaded.
    again = fakes.recipe(settings, loads=tmp_path / "loads")
    assert ingest([str(images)], settings, recipe=again).counts.unchanged == 13
    assert not (tmp_path / "loads").exists()
    assert not list((tmp_path / "index" / "manifest").glob("p*"))
    assert verify(settings, [str(images)]).findings == []
    (images / "a" / "000.png").unlink()
    assert sync([str(images)], settings, 1, recipe=recipe).removed == 1
    assert retry(settings, [State.REJECTED], recipe=recipe) is not None
    counted = open_manifest(settings.index, settings.store).counts()
    assert counted == {State.DONE: 11, State.REJECTED: 1, State.FAILED: 0, State.GONE: 1}


def test_another_index_is_not_begun_over_it(
    place: tuple[str, StoreOptions], tmp_path: Path
) -> None:
    fakes.write_images(tmp_path / "images", 2)
    first, second = at(tmp_path / "first", place), at(tmp_path / "second", place)
    ingest([str(tmp_path / "images")], first, recipe=fakes.recipe(first))
    with pytest.raises(UsageError, match=r"there is no index at .*second, but images of one are"):
        ingest([str(tmp_path / "images")], second, recipe=fakes.recipe(second))
    assert verify(first).findings == []


def test_a_bucket_that_is_not_there_is_named() -> None:
    with moto_server() as server:
        options = StoreOptions(endpoint_url=server.endpoint_url)
        manifest = open_manifest(IndexOptions(state="s3://nowhere/state"), options)
        with pytest.raises(StoreAccessError, match=r"NoSuchBucket.*s3://nowhere/state/part-"):
            list(manifest.latest())


if __name__ == "__main__":
    work(*sys.argv[1:])
