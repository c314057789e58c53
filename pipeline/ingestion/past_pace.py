"""Reads how fast an earlier run was from its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_PIPELINE = re.compile(r" INFO pipeline\.ingestion\.session: .* as ([0-9a-f]+)$")
_END = re.compile(
    r"^(\S+ \S+) INFO pipeline\.ingestion\.session: "
    r"([\d,]+) of [\d,]+ images?, .*?([\d,.]+) images/s"
)
_LEAST_IMAGES = 8
"""A run of fewer says little: a worker's first ones take as long as many later ones."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a run was once its models were loaded; `ended_at` in local time."""

    images_per_s: float
    images: int
    ended_at: datetime


def find_pace(folder: Path, fingerprint: str) -> Pace | None:
    """The pace of the latest run of a pipeline whose log is in `folder`; None if none tells."""
    for path in sorted(folder.glob("ingest-*.log"), reverse=True):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        pace, pipeline = None, ""
        for line in lines:
            if (named := _PIPELINE.search(line)) is not None:
                pipeline = named[1]
            elif (ended := _END.match(line)) is not None and pipeline == fingerprint:
                pace = _read_pace(ended) or pace
        if pace is not None:
            return pace
    return None


def _read_pace(ended: re.Match[str]) -> Pace | None:
    images, rate = int(ended[2].replace(",", "")), float(ended[3].replace(",", ""))
    if images < _LEAST_IMAGES or rate <= 0:
        return None
    return Pace(rate, images, datetime.strptime(ended[1], "%Y-%m-%d %H:%M:%S,%f"))
