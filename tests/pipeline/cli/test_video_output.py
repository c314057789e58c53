"""What commands print of videos, and the options that say which are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import fakes
from support.moving_squares import write_squares
from support.video_world import video_index
from typer.testing import CliRunner

from pipeline.cli.main import app, load_command
from pipeline.cli.search_output import print_page
from pipeline.messages import format_span, format_time
from pipeline.progress import Progress
from pipeline.python_api.hits import IndexedObject
from pipeline.python_api.index import Index
from schemas.counts import IngestCounts
from schemas.ingest_api import INGEST_SECTIONS
from schemas.search import SearchHit, SearchPage


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with models that need no weights."""
    monkeypatch.setattr("pipeline.jobs.ingest.build_recipe", fakes.recipe)


def objseek(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result.stdout


def summary(printed: str) -> dict[str, str]:
    pairs = (line.rsplit("  ", 1) for line in printed.splitlines() if "  " in line)
    return {name.strip(): value for name, value in pairs}


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "0:00"), (3.99, "0:03"), (65, "1:05"), (3599.5, "59:59"), (3603, "1:00:03")],
)
def test_times_are_told_as_players_do(time_s: float, text: str) -> None:
    assert format_time(time_s) == text


def test_a_span_within_a_second_is_one_time() -> None:
    assert (format_span(3.0, 5.5), format_span(3.1, 3.9)) == ("0:03-0:05", "0:03")


@pytest.mark.usefixtures("_fakes")
def test_an_ingest_says_how_many_videos_are_among_what_is_done(tmp_path: Path) -> None:
    images, index = tmp_path / "images", tmp_path / "index"
    fakes.write_images(images, 2)
    write_squares(images / "a.mp4", 1.0)
    done = summary(objseek("ingest", images, "--index", index, "--runner", "local"))
    assert (done["done"], done["of them videos"], done["rejected"]) == ("3", "1", "0")
    assert "images and frames/s, once models are loaded" in done
    log = Path(done["log"]).read_text()
    assert "3 of 3 images and videos, 6 objects" in log
    report = objseek("status", "--index", index)
    assert "files:       3 done\nvideos:      1 of those that are done" in report
    assert "images and videos by day (UTC)" in report
    assert "images and videos  objects" in report
    assert json.loads(objseek("status", "--index", index, "--json"))["videos"] == 1


@pytest.mark.usefixtures("_fakes")
def test_videos_and_animations_are_chosen(tmp_path: Path) -> None:
    images = tmp_path / "images"
    fakes.write_images(images, 1)
    write_squares(images / "a.mp4", 1.0)
    common = ("ingest", images, "--runner", "local")
    none = summary(objseek(*common, "--index", tmp_path / "none", "--no-videos"))
    assert (none["done"], none["skipped: not an image by its suffix"]) == ("1", "1")
    assert "of them videos" not in none
    assert "images/s, once models are loaded" in none
    fast = summary(objseek(*common, "--index", tmp_path / "fast", "--video-fps", "5"))
    assert fast["of them videos"] == "1"
    with Index(fakes.settings(tmp_path / "fast")) as opened:
        frames = {item.payload.frames for item in opened.objects() if item.t_key is not None}
    assert max(frames) == 5


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("sam3", "setting video.propagate: expected none, sam2, sam2.1_t"),
        ("./nowhere", "the weights nowhere cannot be read: there is no such file"),
    ],
)
@pytest.mark.usefixtures("_fakes")
def test_a_video_model_that_is_none_is_refused(tmp_path: Path, model: str, told: str) -> None:
    write_squares(tmp_path / "images" / "a.mp4", 1.0)
    command = [
        "ingest", str(tmp_path / "images"), "--index", str(tmp_path / "index"),
        "--runner", "local", "--video-propagate", model,
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code not in (0, None)
    assert told in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "index").exists()


@pytest.mark.usefixtures("_fakes")
def test_where_no_videos_are_read_a_video_model_is_not_looked_for(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 2)
    command = ("ingest", tmp_path / "images", "--index", tmp_path / "index", "--runner", "local")
    done = summary(objseek(*command, "--video-propagate", "./nowhere", "--no-videos"))
    assert done["done"] == "2"


@pytest.mark.parametrize("command", ["ingest", "sync", "retry", "watch", "verify", "status"])
def test_commands_that_list_take_the_options(command: str) -> None:
    given = {name for parameter in load_command(command).params for name in parameter.opts}
    assert {"--videos", "--animations"} <= given
    assert ("--video-fps" in given) == (command not in ("verify", "status"))


def test_a_service_is_told_how_videos_are_looked_into() -> None:
    assert "video" in INGEST_SECTIONS


def test_progress_tells_of_videos_when_there_are_any() -> None:
    progress = Progress()
    progress.take(IngestCounts(listed=4, all_listed=True, done=2, objects=3), (), None)
    assert progress.describe() == "2 of 4 images, 3 objects"
    progress.take(IngestCounts(listed=4, all_listed=True, done=2, objects=3, videos=1), (), None)
    assert progress.describe() == "2 of 4 images and videos, 3 objects"
    progress.take(IngestCounts(listed=1, all_listed=True, done=1, videos=1), (), None)
    assert progress.describe() == "1 of 1 images and videos, 0 objects"


def _span_of(item: IndexedObject) -> str:
    assert item.t_start is not None
    assert item.t_end is not None
    return format_span(item.t_start, item.t_end)


def test_hits_in_videos_have_a_column_of_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Index(video_index(tmp_path, videos=1)) as index:
        items = sorted(index.objects(), key=lambda item: (item.uri, item.payload.ordinal))
    hits = [SearchHit(object_id=item.object_id, score=0.5, payload=item.payload) for item in items]
    print_page(SearchPage(tuple(hits)), "mean", 0.1, as_json=False)
    heading, *rows = capsys.readouterr().out.splitlines()
    start = heading.index("time")
    times = [row[start : start + 9].strip() for row in rows]
    assert times == ["-" if item.t_start is None else _span_of(item) for item in items]
    assert {"-", "0:00-0:01", "0:02-0:03"} == set(times)
    still = tuple(hit for hit in hits if hit.payload.t_key is None)
    print_page(SearchPage(still), "mean", 0.1, as_json=False)
    assert "time" not in capsys.readouterr().out.splitlines()[0]
