"""A machine is measured by a real ingest, whose models are fakes; its profile survives a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

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


class SlowSession:
    """Ingests an image in `each` seconds, and a round in `once` more, by a clock of its own."""

    def __init__(self, each: float, once: float = 0.0) -> None:
        self.now, self.rounds = 0.0, list[int]()
        self._each, self._once = each, once

    def run(self, listing: list[list[int]], home: object, progress: object) -> None:
        self.rounds.append(len(listing[0]))
        self.now += self._once + self._each * len(listing[0])

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("each", "images", "rounds"),
    [
        (0.1, 1000, [4, 196]),  # 20 s, as asked for
        (4.0, 1000, [4, 6]),  # 16 images would take 64 s, and there are 40
        (2.0, 1000, [4, 12]),  # 32 s
        (50.0, 1000, [4]),
        (0.1, 30, [4, 26]),
    ],
)
def test_images_are_enough_to_tell_unless_they_take_too_long(
    each: float, images: int, rounds: list[int]
) -> None:
    session, home = SlowSession(each), SimpleNamespace(clock=StageClock())
    refs: list[Any] = list(range(images))
    found = measure._time_rounds(
        cast(Any, session), refs, cast(Any, home), 20, lambda text: None, session.clock
    )
    assert session.rounds == rounds
    assert found.wall_s == pytest.approx(each * sum(rounds))


def test_finishing_is_what_follows_the_models() -> None:
    clock, sample = StageClock(), SimpleNamespace(list_page_s=0.0, read_s=0.0, decode_mpx_s=0.0)
    clock.images, clock.points = 2, 10
    names = ("read", "segment", "embed", "label", "check", "thumbnail")
    spans = [StageSpan(name, 0.0, float(number)) for number, name in enumerate(names)]
    clock.note_worked([], WorkReport(tuple(spans)))
    timing = measure._Timing(1, 5.0, measure._Rounds(20.0, 20.0), 0.003)
    seconds = measure._divide_seconds(cast(Any, sample), clock, timing)
    assert (seconds.segment, seconds.embed, seconds.finish) == (0.5, 0.2, 1.2)
    assert (seconds.start, seconds.write) == (5.0, 0.003)


def test_imports_are_part_of_the_start() -> None:
    profile = read_profile("cpu2")
    longer = measure.add_imports(profile, 2.5)
    assert longer.seconds.start == profile.seconds.start + 2.5
    assert longer.seconds.segment == profile.seconds.segment


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
