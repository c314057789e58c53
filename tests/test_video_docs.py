"""Every command and example of docs/video.md does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.tiny_sam2_video import SAM2_VIDEO
from support.tiny_segmenters import write_folder
from support.waiting import PATIENCE_S

from pipeline.cli.video_options import ANIMATIONS, VIDEO_FPS, VIDEO_PROPAGATE, VIDEOS
from pipeline.demo.bucket import write_clip_bucket
from schemas.options import StoreOptions, VideoOptions
from schemas.payload import TIME_FIELDS, PointPayload
from workers.indexes.filters import FIELDS

_OPTIONS = (VIDEOS, ANIMATIONS, VIDEO_FPS, VIDEO_PROPAGATE)
PAGE = (ROOT / "docs" / "video.md").read_text()
ENV = {
    **os.environ,
    "OBJSEEK_SEGMENTER__POINTS_PER_SIDE": "5",
    "OBJSEEK_RUNNER__NAME": "local",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("video")
    write_clip_bucket(place, 1, seed=11)
    write_folder(SAM2_VIDEO, place / "sam2")
    return place


@pytest.mark.long
def test_commands_and_examples(folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("objseek ")]
    assert len(commands) >= 6
    (code,) = blocks("python")
    for command in (*commands, [sys.executable, "-c", code]):
        result = subprocess.run(
            command, shell=isinstance(command, str), cwd=folder, env=ENV,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() or "nothing found" in result.stderr
    assert (folder / "mugs.png").stat().st_size > 1000


def test_every_setting_is_told_with_its_default() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| [^|]*\| (\S+) \|", PAGE, re.MULTILINE))
    video, store = VideoOptions(), StoreOptions()
    words = {True: "on", False: "off"}
    wanted = {f"video.{name}": getattr(video, name) for name in VideoOptions.model_fields}
    wanted |= {f"store.{name}": getattr(store, name) for name in ("videos", "animations")}
    wanted.pop("video.animations", None)  # what a listing says, carried to who reads
    assert told == {
        name: words[value] if isinstance(value, bool) else f"{value}".removesuffix(".0")
        for name, value in wanted.items()
    }
    options = [dest for option in _OPTIONS for dest in option.keys]
    assert set(options) <= told.keys()


def test_every_field_of_times_is_told_and_can_be_filtered_by() -> None:
    table = PAGE.partition("| field | what |")[2].partition("\n\n")[0]
    told = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.split("\n")[2:]))
    )
    assert told == {*TIME_FIELDS, "motion", "frames", "mean_area_frac", "shot"}
    assert told <= set(FIELDS)
    assert told <= set(PointPayload.model_fields)


def test_files_that_it_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
