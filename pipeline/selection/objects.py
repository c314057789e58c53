"""Objects that somebody has chosen, to be written for other programs."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.payload import PointPayload


@dataclass(frozen=True, slots=True)
class ChosenObject:
    """An object, or an image as a whole, with the score by which it was found, if it was."""

    object_id: str
    payload: PointPayload
    score: float | None = None
