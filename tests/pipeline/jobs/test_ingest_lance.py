"""An ingest into a Lance index in a bucket, with its manifest beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.s3_server import S3Server, moto_server, real_server

from pipeline.index_home import (
    IndexHome,
    drop_generation,
    index_options,
    list_generations,
    use_generation,
)
from pipeline.jobs.ingest import ingest
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault
from pipeline.settings import Settings
from schemas.manifest import State
from schemas.options import IndexOptions
from workers.indexes.lance.index import LanceIndex
from workers.indexes.lance.table import Change
from workers.indexes.open import open_index
from workers.stores import s3_client


@pytest.fixture(name="server", params=["moto", "real"])
def a_server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3Server]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with moto_server() if request.param == "moto" else real_server() as server:
        yield server


def settings_of(server: S3Server, folder: Path, *, by: str) -> Settings:
    """Settings that tell the endpoint of the bucket of index or images, or leave it out."""
    settings = fakes.settings(folder)
    endpoint = server.endpoint_url
    index = IndexOptions(
        location=f"lance+s3://{server.make_bucket()}/some/index",
        endpoint_url=endpoint if by == "index" else None,
    )
    of_images = endpoint if by == "store" else None
    store = settings.store.model_copy(update={"endpoint_url": of_images})
    return settings.model_copy(update={"index": index, "store": store})


def points(settings: Settings) -> fakes.Points:
    return fakes.points(settings.model_copy(update={"index": IndexHome.current(settings).index}))


@pytest.mark.parametrize("by", ["index", "store", "environment"])
def test_a_bucket_holds_what_a_folder_holds_and_its_manifest(
    by: str, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint_url)
        # A process has one environment: of an endpoint that it names one client is kept.
        s3_client._client.cache_clear()
    source = tmp_path / "images"
    fakes.write_images(source, 6)
    settings = settings_of(server, tmp_path, by=by)
    assert ingest([str(source)], settings, recipe=fakes.recipe(settings)).counts.done == 6
    of_folder = IndexOptions(location=f"lance+file://{tmp_path}/alone")
    alone = settings.model_copy(update={"index": of_folder})
    ingest([str(source)], alone, recipe=fakes.recipe(alone))
    expected = fakes.points(alone)
    assert fakes.compared(points(settings), expected) == (0, 0, 0)
    assert ingest([str(source)], settings, recipe=fakes.recipe(settings)).counts.unchanged == 6
    (source / "003.png").unlink()
    sync([str(source)], settings, max_delete=0.5, recipe=fakes.recipe(settings))
    home = IndexHome.current(settings)
    assert home.manifest.counts()[State.DONE] == 5
    assert len(points(settings)) == 15
    bucket, _, prefix = settings.index.location.removeprefix("lance+s3://").partition("/")
    found = server.client.list_objects_v2(Bucket=bucket)["Contents"]
    below = {item["Key"].removeprefix(f"{prefix}/").partition("/")[0] for item in found}
    assert below == {"points.lance", "manifest"}
    assert list((tmp_path / "data").rglob("*.parquet")) == []


def test_generations_of_a_bucket_are_used_and_dropped(server: S3Server, tmp_path: Path) -> None:
    source = tmp_path / "images"
    fakes.write_images(source, 2)
    settings = settings_of(server, tmp_path, by="index")
    ingest([str(source)], settings, recipe=fakes.recipe(settings))
    beside = IndexHome.at(settings, "clip")
    with beside.points(create_for=7) as index:
        assert index.count() == 0
    use_generation(settings, "clip")
    assert [(each.name, each.current, each.images) for each in list_generations(settings)] == [
        ("first", False, 2),
        ("clip", True, 0),
    ]
    drop_generation(settings, "first")
    assert [each.name for each in list_generations(settings)] == ["clip"]


def test_points_that_are_there_twice_are_found_and_mended(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a writer leaves them that died between its commit and its second look."""
    monkeypatch.setattr("pipeline.jobs.verify._ON_ITS_WAY", timedelta(0))
    source = tmp_path / "images"
    fakes.write_images(source, 3)
    settings = settings_of(server, tmp_path, by="index")
    ingest([str(source)], settings, recipe=fakes.recipe(settings))
    expected = points(settings)
    with open_index(index_options(settings), None) as index:
        assert isinstance(index, LanceIndex)
        rows = index._table.latest().to_table(filter="ends_with(uri, '001.png')")
        index._table.change(lambda _: Change(np.zeros(0, np.uint64), rows))
        assert index.count() == len(expected) + 3
    report = verify(settings, repairing=True)
    assert [(finding.fault, finding.points) for finding in report.findings] == [(Fault.EXTRA, 3)]
    assert ingest([str(source)], settings, recipe=fakes.recipe(settings)).counts.done == 1
    assert fakes.compared(points(settings), expected) == (0, 0, 0)
    assert verify(settings).findings == []
