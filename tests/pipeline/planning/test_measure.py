"""A machine is measured by a real ingest, whose models are fakes; its profile survives a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import fakes

from pipeline.observing.work_reports import StageSpan, WorkReport
from pipeline.planning import measure
from pipeline.planning.profile import Profile, profile_names, read_profile, save_profile
from pipeline.planning.sample import take_sample
from pipeline.planning.stage_clock import StageClock
from pipeline.settings import Settings
from schemas.errors import UsageError


def profile_of(folder: Path, images: int, **runner: object) -> tuple[Profile, list[str], Settings]:
    fakes.write_images(folder / "images", images)
    settings = fakes.settings(folder / "index", **runner)
    sample = take_sample(
        [str(folder / "images")], settings.store, settings.decode, 40, most_listed=None
    )
    notes: list[str] = []
    found = measure.measure(settings, sample, 60, notes.append, build=fakes.recipe)
    return found, notes, settings


@pytest.mark.parametrize("workers", [1, 2])
def test_it_measures_what_an_ingest_does(tmp_path: Path, workers: int) -> None:
    profile, notes, settings = profile_of(tmp_path, 12, workers=workers)
    assert profile.objects == 2
    assert profile.dim == fakes.embedder().dim
    assert profile.workers <= workers
    assert profile.megapixels > 0
    seconds = profile.seconds
    assert min(seconds.start, seconds.read, seconds.decode_mpx, seconds.segment) > 0
    assert min(seconds.embed, seconds.write, seconds.list_page) > 0
    assert profile.cpu_s is not None
    assert profile.cpu_s > 0
    assert profile.bytes.payload > 100
    assert profile.bytes.thumbnail > 0
    measured = 12 - 2 * profile.workers
    assert profile.sources["all"].startswith(f"measured on {measured} images in ")
    assert "measuring for about 60 s" in notes
    # What the user's settings name is left alone.
    assert not Path(settings.index.location).exists()


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 4 images or more to measure with, got 3"):
        profile_of(tmp_path, 3)


def test_stages_add_up_over_chunks() -> None:
    clock = StageClock()
    clock.note_worked([], WorkReport((StageSpan("read", 0.0, 0.5), StageSpan("embed", 0.5, 1.0))))
    clock.note_worked([], WorkReport((StageSpan("read", 2.0, 0.25),)))
    assert clock.seconds == {"read": 0.75, "embed": 1.0}
    clock.reset()
    assert (dict(clock.seconds), clock.images, clock.kept) == ({}, 0, [])


def test_images_to_measure_with_are_spread_over_the_listing() -> None:
    assert measure._shuffle(list(range(10))) == [0, 7, 4, 1, 8, 5, 2, 9, 6, 3]  # type: ignore[arg-type]
    assert sorted(measure._shuffle(list(range(4)))) == [0, 1, 2, 3]  # type: ignore[arg-type,type-var]


def test_a_profile_survives_its_file(tmp_path: Path) -> None:
    profile, _, _ = profile_of(tmp_path, 8)
    path = tmp_path / "box.toml"
    save_profile(profile, path)
    again = read_profile(str(path))
    assert again.seconds.segment == pytest.approx(profile.seconds.segment, abs=1e-8)
    assert again.sources == profile.sources
    assert again.model_dump().keys() == profile.model_dump().keys()


@pytest.mark.parametrize("name", profile_names())
def test_bundled_profiles_say_where_their_figures_are_from(name: str) -> None:
    profile = read_profile(name)
    given = profile.seconds.model_fields_set | profile.bytes.model_fields_set
    assert given <= set(profile.sources)
    assert all(len(source) > 10 for source in profile.sources.values())


def test_a_profile_without_sources_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "box.toml"
    save_profile(read_profile("cpu2").model_copy(update={"sources": {}}), path)
    with pytest.raises(UsageError, match=r"box\.toml: .*expected the source of each figure"):
        read_profile(str(path))
