"""Writes figures that were measured to a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import UsageError


def write_figures(figures: Mapping[str, object], seconds: float, path: Path | None) -> None:
    """Write them, and how long they took, if a path is given.

    Raises UsageError where the file cannot be written.
    """
    if path is None:
        return
    timed = {**figures, "seconds": round(seconds, 1)}
    try:
        path.write_text(json.dumps(timed, indent=1) + "\n")
    except OSError as exc:
        raise UsageError(f"the figures cannot be written to {path}: {exc.strerror}") from exc
