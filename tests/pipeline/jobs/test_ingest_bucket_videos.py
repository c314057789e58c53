"""Videos in a bucket, with the manifest in one too: the same as in folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fakes
from support.fakes import rows
from support.moving_squares import write_squares
from support.s3_server import S3Server, moto_server, real_server

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.manifest.track_files import TrackFiles
from schemas.payload import PointPayload
from workers.indexes.open import open_index


@pytest.fixture(params=["moto", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with moto_server() if request.param == "moto" else real_server() as server:
        yield server


def _shape_of(payload: PointPayload) -> tuple[object, ...]:
    return payload.kind, payload.shot, payload.t_start, payload.t_end, payload.rle, payload.frames


def test_a_bucket_gives_what_a_folder_gives(server: S3Server, tmp_path: Path) -> None:
    data = write_squares(tmp_path / "videos" / "a.mp4", 20.0, 20.0).read_bytes()
    alone = fakes.settings(tmp_path / "alone")
    ingest([str(tmp_path / "videos")], alone, recipe=fakes.recipe(alone))

    bucket, state = server.make_bucket({"films/a.mp4": data}), server.make_bucket()
    settings = fakes.settings(tmp_path / "index")
    settings = settings.model_copy(
        update={
            "store": settings.store.model_copy(update={"endpoint_url": server.endpoint_url}),
            "index": settings.index.model_copy(update={"state": f"s3://{state}/objseek"}),
        }
    )
    counts = ingest([f"s3://{bucket}/films/"], settings, recipe=fakes.recipe(settings)).counts
    assert counts.done == 1
    found = []
    for each in (alone, settings):
        with open_index(each.index, None) as index:  # type: ignore[attr-defined]
            found.append({_shape_of(point.parse_payload()) for point in index.scroll()})
    assert found[0] == found[1]
    home = IndexHome.current(settings)
    (row,) = home.manifest.latest()
    assert row.shots == rows(alone)["a.mp4"].shots == 2
    assert len(TrackFiles(home.parts).read_all(row.image_id, row.generation)) == row.objects
    assert not verify(settings, [f"s3://{bucket}/films/"]).findings
    kept = server.client.list_objects_v2(Bucket=state, Prefix="objseek/pieces/")
    assert "Contents" not in kept
