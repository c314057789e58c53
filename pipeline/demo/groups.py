"""Sorts the demo's concepts into coarse groups: emojibase's."""

from __future__ import annotations

from collections.abc import Sequence

GROUPS = ("animals and nature", "food and drink", "travel and places", "activities", "objects")
# emojibase lists its labels group by group: each group begins with the first of these that is kept.
_FIRST_LABELS = (
    (),
    ("grapes",),
    ("globe showing Americas",),
    ("jack-o-lantern", "sparkler"),
    ("glasses",),
)


def find_groups(labels: Sequence[str]) -> list[int]:
    """The place in `GROUPS` of each label of a list in emojibase's order.

    Raises ValueError for a list in which no label begins some group.
    """
    starts = [0]
    for group, firsts in zip(GROUPS[1:], _FIRST_LABELS[1:], strict=True):
        places = [labels.index(first) for first in firsts if first in labels]
        if not places:
            raise ValueError(f"expected one of {firsts}, with which {group!r} begins, got none")
        starts.append(min(places))
    return [sum(place >= start for start in starts) - 1 for place in range(len(labels))]
