"""The simulated runs of the benchmark, and the models that sleep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.drawn_sleep import Sleep, build_drawn_recipe, write_images
from bench.simulated_plots import draw_sheet, plot_by_reclaims, plot_progress
from bench.simulated_scenarios import PLANNED, SCENARIOS, SPOT
from pipeline.jobs.ingest import ingest
from pipeline.planning import pace
from pipeline.planning.simulation.simulate import Outcome, simulate
from pipeline.settings import Settings
from schemas.options import IndexOptions, RunnerOptions

PART = 3e-3


@pytest.fixture(scope="module")
def planned() -> Outcome:
    return simulate(PLANNED, SCENARIOS[0], machines=4, part=PART)


def test_each_says_what_it_is_by() -> None:
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
    assert all(each.source for each in SCENARIOS)


def test_as_planned_is_as_planned(planned: Outcome) -> None:
    expected = pace.estimate_seconds(PLANNED.workload, PLANNED.profile, PLANNED.layout)
    assert planned.seconds == pytest.approx(expected, rel=0.03)


def test_plots_are_drawn(planned: Outcome, tmp_path: Path) -> None:
    few, spot = (
        simulate(PLANNED, replace(SPOT, reclaims=n), machines=4, part=PART) for n in (0.5, 1.0)
    )
    progress = plot_progress([planned, spot])
    days = plot_by_reclaims([few, spot], planned, "days")
    assert progress.series[0].y[-1] == 1000.0
    assert days.series[1].y == [planned.seconds / 86_400] * 2
    draw_sheet([progress, days], tmp_path / "sheet.webp")
    with Image.open(tmp_path / "sheet.webp") as sheet:
        pixels = np.asarray(sheet)
        assert sheet.size == (1640, 720)
    # The colours of both series, in both plots.
    for colour in ((0x1D, 0x5F, 0xC4), (0xB0, 0x4A, 0x00)):
        near = np.abs(pixels[160:].astype(int) - colour).max(axis=-1) < 60
        assert near[:, :820].sum() > 100
        assert near[:, 820:].sum() > 100


def test_models_that_sleep_know_their_images(tmp_path: Path) -> None:
    sleep = Sleep(6, 0.0, 1.0, 3, killing=(), rejected=(4,), notes=tmp_path / "notes")
    write_images(tmp_path / "images", sleep)
    settings = Settings(
        index=IndexOptions(location=str(tmp_path / "index")),
        runner=RunnerOptions(name="local", batch_size=2),
    )
    recipe = build_drawn_recipe(settings, sleep)
    counts = ingest([str(tmp_path / "images")], settings, recipe=recipe).counts
    assert (counts.done, counts.rejected, counts.objects) == (5, 1, 5)
    assert sorted(map(int, sleep.notes.read_text().split())) == [0, 1, 2, 3, 5]
    drawn = replace(sleep, images=5000, mean_s=0.1).draw()
    assert sum(drawn) / 5000 == pytest.approx(0.1, rel=0.1)
