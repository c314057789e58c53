"""Verification by the hundred: random damage to random indexes, and as many that are sound."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.damage import DAMAGES, do, tear_the_log

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault
from pipeline.settings import Settings

pytestmark = pytest.mark.long

SEED = 5
TORN = len(DAMAGES)  # one more kind


@pytest.mark.parametrize(
    "rounds", [13, pytest.param(104, marks=pytest.mark.faults)], ids=["short", "whole"]
)
def test_faults_are_found_and_sound_indexes_are_not_accused(
    rounds: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(SEED)
    found: Counter[str] = Counter()
    repaired = alarms = 0
    for number in range(rounds):
        folder = tmp_path / str(number)
        count = int(random.integers(1, 9))
        fakes.write_images(folder / "images", count)
        settings = fakes.settings(folder / "index")
        assert ingest_all(folder, settings) == count
        alarms += len(verify(settings, [str(folder / "images")]).findings)
        name, expected = damaged(number, int(random.integers(count)), count, settings, folder)
        report = verify(settings, repairing=True, max_delete=1)
        reported = Counter((finding.fault, finding.points) for finding in report.findings)
        found[name] += reported == expected
        ingest_all(folder, settings)
        repaired += not verify(settings, [str(folder / "images")]).findings
    with capsys.disabled():
        kinds = ", ".join(f"{name} {hits}" for name, hits in sorted(found.items()))
        print(
            f"\n{rounds} damaged indexes, seed {SEED}: {found.total()} found ({kinds}), "
            f"{repaired} repaired; {rounds} sound ones: {alarms} false alarms"
        )
    assert (found.total(), repaired, alarms) == (rounds, rounds, 0)


def ingest_all(folder: Path, settings: Settings) -> int:
    return ingest([str(folder / "images")], settings, recipe=fakes.recipe(settings)).counts.done


def damaged(
    number: int, image: int, count: int, settings: Settings, folder: Path
) -> tuple[str, Counter[tuple[Fault, int]]]:
    """Do what is next in turn to an image; its name, and the findings that it should give."""
    kind = number % (TORN + 1)
    if kind == TORN:
        tear_the_log(settings, folder / "aside")
        return "torn log", Counter({(Fault.MISSING, 3): count})
    damage, fault, points = DAMAGES[kind]
    do(damage, settings, f"{image:03}.png")
    return damage.__name__.replace("_", " "), Counter({(fault, points): 1})
