"""What docs/refining.md says: the refiners that there are, and their settings."""

from __future__ import annotations

import itertools
from typing import get_args

from support.paths import ROOT

from schemas.options import RefinerName, RefinerOptions

PAGE = (ROOT / "docs" / "refining.md").read_text()


def read_table(head: str) -> list[list[str]]:
    lines = PAGE[PAGE.index(f"| {head} |") :].splitlines()[2:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in rows]


def test_its_refiners_are_those_that_there_are() -> None:
    assert sorted(row[0] for row in read_table("name")) == sorted(get_args(RefinerName))


def test_its_settings_and_defaults_are_those_that_there_are() -> None:
    options = RefinerOptions().model_dump()
    defaults = {
        f"{refiner}.{name}": "" if value is None else str(value).lower()
        for refiner, given in options.items()
        for name, value in given.items()
    }
    assert {row[0]: row[1] for row in read_table("setting")} == defaults
