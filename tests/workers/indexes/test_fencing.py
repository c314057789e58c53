"""Writers of an older run: what a run that started later has written stays as it is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from support import fakes
from support.index_cases import (
    DIM,
    KINDS,
    embedded,
    held,
    ids_of,
    one_index,
    options_for,
    unit,
    where,
)
from support.qdrant_server import qdrant_server

from pipeline.ingestion.writer import Writer
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.ids import image_id, revision_by
from schemas.images import Decoded, Failure, ImageRef, Stage
from schemas.manifest import ManifestRow, State
from schemas.options import IndexOptions
from schemas.records import Result
from workers.indexes.edge import opening as edge_opening
from workers.indexes.edge import schema
from workers.indexes.point_index import PointIndex
from workers.indexes.points import image_points

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

EARLIER = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LATER = EARLIER + timedelta(microseconds=1)


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PointIndex]:
    with one_index(request.param, tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest.fixture
def index(shared: PointIndex) -> PointIndex:
    """An empty index."""
    shared.delete_images([uuid.UUID(point.payload["image_id"]) for point in shared.scroll()])
    return shared


def runs(index: PointIndex) -> set[datetime | None]:
    return {point.parse_payload().run_started_at for point in index.scroll()}


def test_a_point_tells_when_its_run_started(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 3))], LATER)
    assert runs(index) == {LATER}
    before = datetime.now(UTC)
    index.replace_images([embedded("a.jpg", unit(1, 3))])
    (started,) = runs(index)
    assert started is not None
    assert before <= started <= datetime.now(UTC)


def test_what_a_later_run_has_written_stays(index: PointIndex) -> None:
    newer = embedded("a.jpg", unit(0, 4), version="v2")
    assert index.replace_images([newer], LATER) == set()
    older, other = embedded("a.jpg", unit(1, 5)), embedded("b.jpg", unit(2, 3))
    assert index.replace_images([older, other], EARLIER) == {image_id(older.ref)}
    assert held(index) == ids_of(newer) | ids_of(other)
    assert index.replace_images([older], EARLIER) == {image_id(older.ref)}
    assert held(index) == ids_of(newer) | ids_of(other)


def test_a_run_writes_over_what_it_and_earlier_ones_wrote(index: PointIndex) -> None:
    index.replace_images([embedded("a.jpg", unit(0, 4))], EARLIER)
    again = embedded("a.jpg", unit(1, 3), version="v2")
    assert index.replace_images([again], EARLIER) == set()
    assert held(index) == ids_of(again)
    newer = embedded("a.jpg", unit(2, 2), version="v3")
    assert index.replace_images([newer], LATER) == set()
    assert held(index) == ids_of(newer)


def test_points_that_tell_no_run_are_of_an_earlier_one(index: PointIndex) -> None:
    old = embedded("a.jpg", unit(0, 4))
    index.upsert(image_points(old, LATER))
    assert runs(index) == {None}
    assert len(list(index.scroll([where("run_started_at", "<", "2999-01-01")]))) == 0
    newer = embedded("a.jpg", unit(1, 3), version="v2")
    assert index.replace_images([newer], EARLIER) == set()
    assert held(index) == ids_of(newer)


def test_images_that_are_gone_leave_what_a_later_run_has_written(index: PointIndex) -> None:
    newer, older = embedded("a.jpg", unit(0, 4)), embedded("b.jpg", unit(1, 3))
    index.replace_images([newer], LATER)
    index.replace_images([older], EARLIER)
    index.upsert(image_points(embedded("a.jpg", unit(2, 3), version="v0"), EARLIER, EARLIER))
    both = [image_id(newer.ref), image_id(older.ref)]
    assert index.delete_images(both, EARLIER) == {image_id(newer.ref)}
    assert held(index) == ids_of(newer)
    assert index.delete_images(both) == set()
    assert held(index) == set()


def test_a_shard_without_an_index_of_runs_gets_one_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_for(str(tmp_path / "index"))
    newer, older = embedded("a.jpg", unit(0, 4), version="v2"), embedded("a.jpg", unit(1, 3))
    with monkeypatch.context() as patched:
        patched.setattr(schema, "DATETIME_FIELDS", ("ingested_at",))
        with edge_opening.build(options, DIM, create=True) as index:
            index.upsert(image_points(older, EARLIER))
    with edge_opening.build(options, DIM, create=True) as index:
        assert "run_started_at" in index._shard.info().payload_schema
        assert index.replace_images([newer], LATER) == set()
        assert held(index) == ids_of(newer)
        assert index.replace_images([older], EARLIER) == {image_id(older.ref)}
        assert held(index) == ids_of(newer)
        index.upsert(image_points(embedded("b.jpg", unit(2, 2)), EARLIER, EARLIER))
        for op, value, count in ((">", EARLIER, 4), (">=", EARLIER, 6), ("<", LATER, 2)):
            found = index.scroll([where("run_started_at", op, value.isoformat())])
            assert len(list(found)) == count


def written(
    index: PointIndex, manifest: Manifest, results: list[Result], run_started_at: datetime
) -> tuple[int, int, int]:
    """What a run that comes to these results counts as done, failed and gone."""
    progress = Progress()
    attempts = {(str(image_id(result.ref)), result.ref.version): 4 for result in results}
    with Writer(
        index,
        manifest,
        revision_by("f1"),
        on_written=progress.add_results,
        run_started_at=run_started_at,
        attempts=attempts,
    ) as writer:
        writer.add(results)
    counts = progress.counts
    return counts.done, counts.failed, counts.gone


def rows(manifest: Manifest) -> dict[str, ManifestRow]:
    return {row.uri.rpartition("/")[2]: row for row in manifest.latest()}


def no_more_there(key: str) -> Failure:
    ref = ImageRef("s3", "photos", key, "v1", 100)
    return Failure(ref, Stage.READ, "ObjectGoneError", "gone", retryable=False, gone=True)


@pytest.mark.parametrize("later_first", [True, False])
def test_the_row_of_the_later_run_is_the_last(
    index: PointIndex, tmp_path: Path, later_first: bool
) -> None:
    newer = [embedded(f"{name}.jpg", unit(0, 4), version="v2") for name in "ab"]
    older: list[Result] = [
        embedded("a.jpg", unit(1, 5)),
        no_more_there("b.jpg"),
        embedded("c.jpg", unit(2, 3)),
        no_more_there("d.jpg"),
    ]
    later_manifest, earlier_manifest = Manifest(tmp_path / "theirs"), Manifest(tmp_path / "mine")
    assert written(index, later_manifest, list(newer), LATER) == (2, 0, 0)
    assert written(index, earlier_manifest, older, EARLIER) == (1, 2, 1)
    assert held(index) == set().union(*map(ids_of, newer)) | ids_of(older[2])
    earlier_rows = rows(earlier_manifest)
    for name in ("a.jpg", "b.jpg"):
        row = earlier_rows[name]
        assert (row.state, row.stage, row.error_class) == (State.FAILED, "write", "SupersededError")
        uri = f"s3://photos/{name}"
        assert row.message == f"a run that started later has written this image ({uri})"
        assert (row.retryable, row.attempts, row.at) == (False, 5, EARLIER)
    assert (earlier_rows["c.jpg"].state, earlier_rows["d.jpg"].state) == (State.DONE, State.GONE)
    both = Manifest(tmp_path / "both")
    for manifest in (
        (later_manifest, earlier_manifest) if later_first else (earlier_manifest, later_manifest)
    ):
        both.append(list(manifest.latest()))
        both.flush()
    last = rows(both)
    assert [last[name].generation for name in ("a.jpg", "b.jpg")] == [
        image.revision.id for image in newer
    ]


def overtaken_reader(
    refs: list[ImageRef], reader: partial[list[Decoded]], source: Path, settings: Settings
) -> list[Decoded]:
    """Reads as `reader` does, and then another run does the images anew before they are written."""
    decoded = reader(refs)
    for ref in refs[:2]:
        fakes.write_image(Path(ref.key), 500 + int(Path(ref.key).stem))
    assert ingest([str(source)], settings, recipe=fakes.recipe(settings)).counts.failed == 0
    return decoded


def test_a_run_that_was_overtaken_leaves_the_index_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.jobs.verify._ON_ITS_WAY", timedelta(0))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    source = tmp_path / "images"
    fakes.write_images(source, 4)
    with qdrant_server() as server:
        index = IndexOptions(location=f"{server.url}/objects")
        settings = fakes.settings(tmp_path).model_copy(update={"index": index})
        recipe = fakes.recipe(settings)
        reader = partial(overtaken_reader, reader=recipe.reader, source=source, settings=settings)
        summary = ingest([str(source)], settings, recipe=replace(recipe, reader=reader))
        counts = summary.counts
        assert (counts.done, counts.failed) == (0, 4)
        assert {failure.error_class for failure in summary.details.failures} == {"SupersededError"}
        assert verify(settings, [str(source)]).findings == []
        assert {row.state for row in fakes.rows(settings).values()} == {State.DONE}
        clean = fakes.settings(tmp_path / "clean")
        ingest([str(source)], clean, recipe=fakes.recipe(clean))
        expected = fakes.points(clean)
        assert fakes.compared(fakes.points(settings), expected) == (0, 0, 0)
