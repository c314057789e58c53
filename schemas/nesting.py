"""Finds which of an image's masks are parts of which: wholes, parts, and parts of parts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from schemas.masks import CocoRle, measure_area
from schemas.overlaps import mask_ios

HELD_SHARE = 0.9
"""A mask is part of one that holds so much of it."""


class Level(StrEnum):
    """How deep a mask lies in others: in none, in one, in more."""

    WHOLE = "whole"
    PART = "part"
    SUBPART = "subpart"


def find_parents(masks: Sequence[CocoRle]) -> list[int | None]:
    """Of each mask of an image the smallest larger one that holds nine tenths of it, by its place.

    None: it is a whole. Of parents of one area the first counts. Raises ValueError for an invalid
    RLE.
    """
    areas = np.array([measure_area(rle) for rle in masks])
    parents: list[int | None] = []
    for area, shares in zip(areas, mask_ios(masks, masks), strict=True):
        holding = np.flatnonzero((shares >= HELD_SHARE) & (areas > area))
        parents.append(int(holding[areas[holding].argmin()]) if len(holding) else None)
    return parents


def find_parent(mask: CocoRle, others: Sequence[CocoRle]) -> int | None:
    """Of one mask what `find_parents` finds, among others of its image that it is none of."""
    if not others:
        return None
    areas = np.array([measure_area(rle) for rle in others])
    shares = mask_ios([mask], others)[0]
    holding = np.flatnonzero((shares >= HELD_SHARE) & (areas > measure_area(mask)))
    return int(holding[areas[holding].argmin()]) if len(holding) else None


def level_below(parent: Level | None) -> Level:
    """The level of a part of what has the level `parent`; None: of what is part of nothing."""
    if parent is None:
        return Level.WHOLE
    return Level.PART if parent is Level.WHOLE else Level.SUBPART


def find_levels(parents: Sequence[int | None]) -> list[Level]:
    """The levels that follow from `find_parents`."""
    levels = []
    for parent in parents:
        if parent is None:
            levels.append(Level.WHOLE)
        else:
            levels.append(Level.PART if parents[parent] is None else Level.SUBPART)
    return levels
