"""Reads a Dockerfile into its stages."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """A stage: `base` is an image or an earlier stage, each step an instruction and the rest."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for word, rest in self.steps if word == instruction]


def read_stages(path: Path) -> dict[str, Stage]:
    """The stages in their order. Raises ValueError for one without a name."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            named = re.fullmatch(r"(\S+) AS (\S+)", rest)
            if named is None:
                raise ValueError(f"expected FROM image AS name, got {line}")
            current = stages[named[2]] = Stage(named[2], named[1])
        else:
            current.steps.append((word, rest.strip()))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """A stage and those it is built on, the lowest first."""
    stage = stages[name]
    below = lineage(stages, stage.base) if stage.base in stages else []
    return [*below, stage]


def environment(stages: dict[str, Stage], name: str) -> dict[str, str]:
    """The variables of a stage, with those of what it is built on."""
    return dict(
        word.split("=", 1)
        for stage in lineage(stages, name)
        for rest in stage.all("ENV")
        for word in shlex.split(rest)
    )
