"""Writes figures that were measured to a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import UsageError


def write_figures(figures: Mapping[str, object], path: Path) -> None:
    """Raises UsageError where the file cannot be written."""
    try:
        path.write_text(json.dumps(figures, indent=1) + "\n")
    except OSError as exc:
        raise UsageError(f"the figures cannot be written to {path}: {exc.strerror}") from exc
