"""Videos on Ray: the same as in one process; one that kills its reader takes no other with it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support import fakes
from support.fakes import compared, rows
from support.moving_squares import write_squares

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from schemas.manifest import State

pytestmark = pytest.mark.long


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos of several pieces, and images."""
    write_squares(tmp_path / "files" / "a.mp4", 20.0, 20.0)
    write_squares(tmp_path / "files" / "b.mp4", 18.0)
    fakes.write_images(tmp_path / "files", 6)
    return tmp_path / "files"


def test_ray_makes_what_one_process_makes(folder: Path, tmp_path: Path) -> None:
    alone = fakes.settings(tmp_path / "alone")
    ingest([str(folder)], alone, recipe=fakes.recipe(alone))
    spread = fakes.settings(tmp_path / "spread", "ray", workers=2)
    ingest([str(folder)], spread, recipe=fakes.recipe(spread))
    assert compared(fakes.points(spread), fakes.points(alone)) == (0, 0, 0)


def test_a_piece_that_kills_its_reader_fails_its_video_alone(folder: Path, tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index", "ray")
    recipe = fakes.recipe(settings)
    reader = partial(
        fakes.misbehaving_piece_reader, reader=recipe.piece_reader, name="a.mp4", number=1
    )
    counts = ingest([str(folder)], settings, recipe=replace(recipe, piece_reader=reader)).counts
    assert (counts.listed, counts.done, counts.failed) == (8, 7, 1)
    assert rows(settings)["a.mp4"].state is State.FAILED
    assert ingest([str(folder)], settings, recipe=recipe).counts.done == 1
    assert not verify(settings, [str(folder)]).findings
