"""Draws maps of segments, and measures panoptic quality of them pixel by pixel."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

SIZE_HW = (30, 40)
KINDS = 3
VOID = 0
Ids = npt.NDArray[np.int64]


def draw_ids(rng: np.random.Generator, most: int) -> tuple[Ids, dict[int, int], set[int]]:
    """A map of ids, 0 void, the class of each, and those that are crowds, one of a class."""
    ids = np.zeros(SIZE_HW, np.int64)
    for number in range(1, int(rng.integers(1, most)) + 1):
        y, x = rng.integers(0, SIZE_HW[0]), rng.integers(0, SIZE_HW[1])
        h, w = rng.integers(1, 20, 2)
        ids[y : y + h, x : x + w] = number
    kinds = {number: int(rng.integers(KINDS)) for number in np.unique(ids).tolist() if number}
    crowds = {
        kind: number for number, kind in kinds.items() if rng.random() < 0.2 and kind is not None
    }
    return ids, kinds, set(crowds.values())


def disturb(
    ids: Ids, kinds: dict[int, int], rng: np.random.Generator
) -> tuple[Ids, dict[int, int]]:
    """What might be found: moved by a pixel or two, some of another class, some cut in two."""
    moved = np.roll(ids, tuple(rng.integers(-1, 2, 2)), axis=(0, 1))
    found = {}
    for number, kind in kinds.items():
        found[number] = kind if rng.random() < 0.8 else int(rng.integers(KINDS))
    if rng.random() < 0.5:
        moved = np.where(
            (moved > 0) & (np.arange(SIZE_HW[1]) > rng.integers(40)), moved + 50, moved
        )
        found |= {number + 50: kind for number, kind in found.items()}
    there = set(np.unique(moved).tolist())
    return moved, {number: kind for number, kind in found.items() if number in there}


def measure_slowly(
    images: list[tuple[Ids, dict[int, int], set[int], Ids, dict[int, int]]],
) -> tuple[float, float]:
    """PQ of all segments, and its mean over classes, from pixels."""
    iou, pairs = defaultdict(float), defaultdict(int)
    missed, invented = defaultdict(int), defaultdict(int)
    for true_ids, kinds, crowds, found_ids, found_kinds in images:
        done: set[int] = set()
        taken: set[int] = set()
        for number, kind in kinds.items():
            for other, other_kind in found_kinds.items():
                if number in crowds or kind != other_kind:
                    continue
                here, there = true_ids == number, found_ids == other
                shared = (here & there).sum()
                union = here.sum() + there.sum() - shared - (there & (true_ids == VOID)).sum()
                if shared / union > 0.5:
                    iou[kind] += shared / union
                    pairs[kind] += 1
                    done.add(number)
                    taken.add(other)
        for number, kind in kinds.items():
            missed[kind] += number not in done and number not in crowds
        for other, kind in found_kinds.items():
            there = found_ids == other
            same = [number for number in crowds if kinds[number] == kind]
            excused = np.isin(true_ids[there], [VOID, *same]).mean()
            invented[kind] += other not in taken and excused <= 0.5
    known = [kind for kind in range(KINDS) if pairs[kind] + missed[kind] + invented[kind]]
    weights = [pairs[kind] + (missed[kind] + invented[kind]) / 2 for kind in known]
    each = [iou[kind] / weight for kind, weight in zip(known, weights, strict=True)]
    pooled = sum(iou.values()) / sum(weights) if sum(weights) else 0.0
    return pooled, float(np.mean(each)) if each else 0.0
