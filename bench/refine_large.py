"""Borders of one drawn shape in images of any size: distance of contours, seconds, memory.

    python -m bench.refine_large --sides 1000 4000 10000

The mask is the shape as a model of 256 cells for the longer side sees it, in steps of a cell and
one to the right of where it is. Memory is what the process has taken at most while refining, beyond
what it had.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.contours import measure_distance_px
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from workers.refiners.edges import EdgeRefiner, refine_edges

_CELLS = 256
_INSIDE, _OUTSIDE = (200, 90, 60), (70, 120, 150)
_NOISE = 12


def draw_shape(side_px: int) -> BoolMask:
    """A flower of seven leaves: bool (3/4 side, side)."""
    rows, columns = np.ogrid[: side_px * 3 // 4, :side_px]
    rows, columns = rows - side_px * 3 / 8, columns - side_px / 2
    mask = np.empty((side_px * 3 // 4, side_px), np.bool_)
    for y, row in enumerate(rows):  # a row at a time, as floats of all would take a gigabyte
        radius = side_px * (0.25 + 0.06 * np.sin(7 * np.arctan2(row, columns[0])))
        mask[y] = np.hypot(row, columns[0]) < radius
    return mask


def paint(mask: BoolMask) -> UInt8Image:
    """Two colours with noise: uint8 (height, width, 3)."""
    rng = np.random.default_rng(0)
    image = np.empty((*mask.shape, 3), np.uint8)
    for y, row in enumerate(mask):
        colours: npt.NDArray[np.int16] = np.where(row[:, None], _INSIDE, _OUTSIDE).astype(np.int16)
        grain = rng.integers(-_NOISE, _NOISE + 1, colours.shape, np.int16)
        image[y] = (colours + grain).clip(0, 255)
    return image


def see_coarsely(mask: BoolMask) -> BoolMask:
    """In `_CELLS` cells of the longer side, inside where half of it is or more, moved by one."""
    height, width = mask.shape
    picture = Image.fromarray(mask).convert("L")
    shares = picture.resize((_CELLS, _CELLS * height // width), Image.Resampling.BOX)
    cells = Image.fromarray(np.roll(np.asarray(shares) > 127, 1, axis=1))
    return np.asarray(cells.resize((width, height), Image.Resampling.NEAREST))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[1000, 4000, 10000])
    args = parser.parse_args()
    table = Table("longer side", "before, px", "one size", "edges", "CPU s", "MiB", box=None)
    small = draw_shape(300)  # compiling is none of what is measured
    EdgeRefiner().open_image(paint(small)).refine([CocoRle.from_mask(see_coarsely(small))])
    for side_px in args.sides:
        shape = draw_shape(side_px)
        image, true = paint(shape), CocoRle.from_mask(shape)
        given = CocoRle.from_mask(see_coarsely(shape))
        held = _measure_peak_mb()
        started = time.process_time()
        (refined,) = EdgeRefiner().open_image(image).refine([given])
        seconds, taken = time.process_time() - started, _measure_peak_mb() - held
        masks = (given, refine_edges(image, given), refined)
        distances = (f"{measure_distance_px(mask, true):.2f}" for mask in masks)
        table.add_row(f"{side_px:,}", *distances, f"{seconds:.2f}", f"{taken:.0f}")
    Console().print(table)


def _measure_peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
