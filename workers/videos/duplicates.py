"""Drops masks of a frame that show again what another one shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from schemas.masks import ObjectMask
from schemas.overlaps import mask_ios

SHARED = 0.5
"""Masks that share more than this of the smaller are of one object."""


def find_distinct(masks: Sequence[ObjectMask], taken: Collection[int]) -> list[int]:
    """Those of `masks` not `taken`, by their places, that overlap neither these nor a surer one."""
    rles = [mask.rle for mask in masks]
    shared = mask_ios(rles, rles) > SHARED
    standing, distinct = sorted(taken), []
    rest = set(range(len(masks))).difference(taken)
    for place in sorted(rest, key=lambda place: (-masks[place].sureness, place)):
        if not shared[place, standing].any():
            standing.append(place)
            distinct.append(place)
    return sorted(distinct)
