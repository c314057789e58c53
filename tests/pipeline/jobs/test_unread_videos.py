"""Videos that cannot be read for want of PyAV are told by all that look at a source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import fakes

from pipeline.jobs.forecast import forecast_ingest
from pipeline.jobs.ingest import ingest
from pipeline.jobs.watch import Round, WatchReporter, watch
from pipeline.planning.sample import take_sample
from pipeline.settings import Settings
from schemas.errors import UsageError
from workers.stores import selection

SENTENCE = "1 as a video, for which PyAV is needed: pip install 'objseek[video]'"


@pytest.fixture(autouse=True)
def no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "can_read_videos", lambda: False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.mp4").write_bytes(b"a video")
    return tmp_path / "clips"


@pytest.mark.parametrize("look", [ingest, forecast_ingest])
def test_a_source_of_videos_alone_says_why_there_is_nothing(
    source: Path, tmp_path: Path, look: Callable[[Sequence[str], Settings], object]
) -> None:
    with pytest.raises(UsageError) as raised:
        look([str(source)], fakes.settings(tmp_path / "index"))
    assert str(raised.value) == f"no images under {source} (skipped: {SENTENCE})"


def test_a_plan_measures_no_videos(source: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    with pytest.raises(UsageError, match=r"no images under .* \(skipped: 1 as not an image"):
        take_sample([str(source)], settings.store, settings.decode, 5)


def test_a_watch_tells_it_once(source: Path, tmp_path: Path) -> None:
    fakes.write_image(source / "one.png", 1)
    settings = fakes.settings(tmp_path / "index")
    rounds: list[Round] = []
    troubles: list[str] = []
    ended = threading.Event()

    def note(done: Round) -> None:
        rounds.append(done)
        if len(rounds) == 3:
            ended.set()

    reporter, recipe = WatchReporter(note, troubles.append), fakes.recipe(settings)
    watch([str(source)], settings, reporter, every_s=0.01, ended=ended, recipe=recipe)
    assert [each.counts.done for each in rounds] == [1, 0, 0]
    assert troubles == [f"skipped {SENTENCE}"]
