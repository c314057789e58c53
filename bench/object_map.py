"""Measures how long a map of objects takes that lie as CLIP's vectors do, and how good it is.

python -m bench.object_map --objects 100000
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bench.synthetic import Cone
from pipeline.jobs.map_layout import lay_out

_LOOKED_AT = 2000


def share_of_kind(positions: np.ndarray, kinds: np.ndarray) -> float:
    """Of how many objects the nearest on the map is of the same cluster, as far as looked at."""
    chosen = np.random.default_rng(1).permutation(len(positions))[:_LOOKED_AT]
    same = 0
    for number in chosen:
        distances = ((positions - positions[number]) ** 2).sum(axis=1)
        distances[number] = np.inf
        same += int(kinds[distances.argmin()] == kinds[number])
    return same / len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--objects", type=int, default=100_000)
    args = parser.parse_args()
    vectors, kinds = Cone().rows(args.objects, 1)
    began, first_step = time.monotonic(), None

    def note(done: int, total: int) -> None:
        nonlocal first_step
        first_step = first_step or time.monotonic() - began

    positions = lay_out(vectors, note)
    seconds = time.monotonic() - began
    print(
        f"{args.objects:,} x {vectors.shape[1]}: {seconds:.1f} s, neighbours after "
        f"{first_step or 0:.1f} s; the nearest is of the same cluster for "
        f"{share_of_kind(positions, kinds):.1%}"
    )


if __name__ == "__main__":
    main()
