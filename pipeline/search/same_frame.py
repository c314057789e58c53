"""Narrows a search in an index to what is of one picture: an image, or one frame of a video."""

from __future__ import annotations

from schemas.payload import PointPayload
from schemas.search import Condition

# Indexes may change the last bits of a number; frames are further apart.
_SLACK_S = 1e-6


def frame_conditions(payload: PointPayload) -> tuple[Condition, ...]:
    """What points have whose box and mask are of the same picture as those of `payload`.

    Of a video many frames are in an index, and masks can be compared only within one.
    """
    own = Condition(field="image_id", op="=", value=payload.image_id)
    if payload.t_key is None:
        return (own,)
    return (
        own,
        Condition(field="t_key", op=">=", value=payload.t_key - _SLACK_S),
        Condition(field="t_key", op="<=", value=payload.t_key + _SLACK_S),
    )
