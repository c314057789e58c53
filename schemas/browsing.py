"""Defines what the service answers to those who look round before they search."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from schemas.api import ObjectAnswer


class VarietyAnswer(BaseModel):
    """Objects that differ from each other as much as they can, those first that show the most."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    objects: tuple[ObjectAnswer, ...]
