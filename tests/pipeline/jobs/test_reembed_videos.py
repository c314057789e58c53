"""Another embedder for videos: by the masks that are kept, in a generation of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from support import fakes
from support.ingested_videos import manifest_files, payloads, run, with_margin
from support.moving_squares import write_squares

from pipeline.index_home import IndexHome, drop_generation
from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.jobs.verify import verify
from pipeline.manifest.track_files import TrackFiles
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.payload import PointPayload


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakes.settings(tmp_path / "index")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video of two shots, 40 s long: three pieces."""
    write_squares(tmp_path / "videos" / "a.mp4", 20.0, 20.0)
    return tmp_path / "videos"


def test_videos_are_embedded_anew_by_the_masks_that_are_kept(
    folder: Path, settings: Settings
) -> None:
    fakes.write_images(folder, 3)
    run(folder, settings)
    with IndexHome.current(settings).points() as index:
        points = [point for point in index.scroll() if point.payload.get("t_start") is not None]
        numbers = {uuid.UUID(point.id): str(number) for number, point in enumerate(points)}
        index.change_tags([*numbers], lambda name, _: (numbers[uuid.UUID(name)],))
    before = payloads(settings, "object")
    anew = settings.model_copy(
        update={"embedder": settings.embedder.model_copy(update={"context_margin": 0.3})}
    )
    summary = reembed(anew, recipe=fakes.recipe(anew))
    assert summary.switched
    assert summary.counts.done == 4
    home = IndexHome.current(settings)
    assert home.generation == summary.generation
    assert not verify(settings).findings
    with home.points() as index:
        found = [point.parse_payload() for point in index.scroll()]
    spans = [_span(each) for each in found if each.kind == "object"]
    assert sorted(spans) == sorted(_span(each) for each in before)
    # Tracks and shots keep their tags.
    assert {each.tags: _span(each) for each in found if each.tags} == {
        (str(number),): _span(point.parse_payload()) for number, point in enumerate(points)
    }
    row = next(row for row in home.manifest.latest() if row.shots)
    assert len(TrackFiles(home.parts).read_all(row.image_id, row.generation)) == 4
    # It is what an ingest with these settings would look for.
    assert ingest([str(folder)], anew, recipe=fakes.recipe(anew)).counts.unchanged == 4


def _span(payload: PointPayload) -> tuple[object, ...]:
    return payload.uri, payload.t_start, payload.t_end, payload.frames, payload.area, payload.bbox


def test_images_and_videos_are_not_embedded_anew_for_nothing(
    folder: Path, settings: Settings
) -> None:
    fakes.write_images(folder, 3)
    run(folder, settings)
    with pytest.raises(UsageError, match="expected another embedder"):
        reembed(settings)
    with pytest.raises(UsageError, match="expected another embedder"):
        reembed(settings, recipe=fakes.recipe(settings))


def test_a_generation_takes_its_masks_along(
    folder: Path, settings: Settings, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    index = settings.index.model_copy(update={"state": str(state)})
    settings = settings.model_copy(update={"index": index})
    run(folder, settings)
    before = manifest_files(settings)
    anew = with_margin(settings, 0.3)
    summary = reembed(anew, recipe=fakes.recipe(anew))
    drop_generation(settings, summary.before)
    assert not any(path.exists() for path in before)
    assert not verify(settings).findings
