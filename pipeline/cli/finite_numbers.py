"""Refuses options that are infinite or no number, which the bounds of options let through."""

from __future__ import annotations

import math

import typer


def check_finite(value: float | None) -> float | None:
    """The value, None where the option was not given. Raises BadParameter."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {value}")
    return value
