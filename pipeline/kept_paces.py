"""Keeps how fast jobs were on this machine, so that it can be told how long a next one takes."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.settings import Settings
from workers.durable_files import replace_file
from workers.models.weights import cache_folder

LEAST_POINTS: Final = 100
"""Of fewer a job's start takes longer than they do."""


class KeptPace(BaseModel):
    """How many points a job wrote in a second, and in all."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    points_per_s: float = Field(gt=0, allow_inf_nan=False)
    points: int
    ended_at: datetime

    def foretell_s(self, points: int) -> float:
        """Seconds that so many points take at this pace."""
        return points / self.points_per_s


_PACES = TypeAdapter(dict[str, KeptPace])


def note_pace(settings: Settings, job: str, points: int, seconds: float) -> None:
    """Keep the pace of a job that has ended, in place of an earlier one of that name.

    One that wrote fewer than `LEAST_POINTS` is not kept, and none where nothing can be written.
    """
    if points < LEAST_POINTS or seconds <= 0:
        return
    path = _path(settings)
    now = datetime.now(UTC)
    paces = _read(path) | {
        job: KeptPace(points_per_s=points / seconds, points=points, ended_at=now)
    }
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as file:
            file.write(json.dumps(_PACES.dump_python(paces, mode="json"), indent=1).encode())


def find_pace(settings: Settings, job: str) -> KeptPace | None:
    """The pace of the last job of that name, None if none is kept."""
    return _read(_path(settings)).get(job)


def _path(settings: Settings) -> Path:
    return cache_folder(settings.cache_dir).parent / "paces.json"


def _read(path: Path) -> dict[str, KeptPace]:
    try:
        return _PACES.validate_json(path.read_bytes())
    except (OSError, ValidationError):  # it helps to foretell, and is lost without harm
        return {}
