"""A run that is killed inside a video goes on there: its points are those of a clean run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import fakes
from support.fakes import compared
from support.moving_squares import write_squares
from support.paths import ROOT
from support.waiting import until

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify

pytestmark = pytest.mark.long


def _kept(index: Path) -> list[Path]:
    return sorted((index / "manifest" / "pieces").glob("part-*.parquet"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A video of four pieces."""
    write_squares(tmp_path / "videos" / "a.mp4", 30.0, 34.0)
    return tmp_path / "videos"


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_killed_run_goes_on_inside_a_video(pieces: int, source: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    command = [sys.executable, "-m", "support.halted_ingest", str(source), str(index), str(pieces)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as running:
        until(lambda: len(_kept(index)) == pieces or running.poll() is not None)
        running.kill()
    assert len(_kept(index)) == pieces
    settings = fakes.settings(index)
    assert ingest([str(source)], settings, recipe=fakes.recipe(settings)).counts.done == 1
    clean = fakes.settings(tmp_path / "clean")
    ingest([str(source)], clean, recipe=fakes.recipe(clean))
    assert compared(fakes.points(settings), fakes.points(clean)) == (0, 0, 0)
    assert not verify(settings, [str(source)]).findings
    assert not _kept(index)
