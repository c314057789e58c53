"""Encodes many masks, given as their changes, as COCO RLEs at once, compiled by Numba.

A single mask of pixels is encoded by `schemas.masks.CocoRle.from_mask`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from workers.numba_jit import jit_exact

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_BYTES_OF_A_RUN = 8  # of five bits each: a run and its sign


def encode_changes(changes: Int64s, ends: Int64s, pixels: int) -> list[str]:
    """The `counts` of compressed RLEs of masks of `pixels` pixels each.

    Mask k starts outside and changes, column-major, at changes[ends[k] : ends[k + 1]].
    """
    text_ends = np.zeros_like(ends)
    room = np.empty(_BYTES_OF_A_RUN * (int(ends[-1]) + len(ends)), np.uint8)
    _write_counts(changes, ends, pixels, room, text_ends)
    text = room[: text_ends[-1]].tobytes().decode()
    return [text[begin:end] for begin, end in pairwise(text_ends.tolist())]


@jit_exact
def _write_counts(
    changes: Int64s, ends: Int64s, pixels: int, out: Bytes, text_ends: Int64s
) -> None:
    """Fill `out` and, with where each mask's bytes end, `text_ends`.

    Runs are written as COCO does (`rleToString` of pycocotools): from the fourth on the difference
    from the last but one, five bits a byte, lowest first, a sixth bit for more to come.
    """
    at = 0
    for mask in range(len(ends) - 1):
        begin, stop = ends[mask], ends[mask + 1]
        last, before, run = 0, 0, 0
        closed = stop > begin and changes[stop - 1] == pixels
        for number in range(begin, stop if closed else stop + 1):
            end = changes[number] if number < stop else pixels
            older, before, run = before, run, end - last
            last = end
            left = run - older if number - begin > 2 else run
            while True:
                bits = left & 31
                left >>= 5
                more = left != (-1 if bits & 16 else 0)
                out[at] = bits + (80 if more else 48)
                at += 1
                if not more:
                    break
        text_ends[mask + 1] = at
