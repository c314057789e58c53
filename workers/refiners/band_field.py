"""Decides by colour and place which pixels near a mask's border belong to it.

A dense conditional random field (P. Kraehenbuehl and V. Koltun, 2011) over the pixels near the
border alone, its kernel cut off at a distance, solved by mean field. What lies further inside or
outside stays what it is, and speaks for its like.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.images import UInt8Image
from schemas.masks import BoolMask
from workers.numba_jit import jit_exact

Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
_UNLIKE = 12.0  # e to the minus this is nothing
_NO_COLOUR = -1  # beyond the image
_MOST_KEPT = 200_000  # pixels of a border, each with its neighbours: 134 MB


@dataclass(frozen=True, slots=True)
class Field:
    """Its constants, in pixels but for the last seven.

    `band` to either side of the border is decided anew, by what lies within `reach` in rows and
    columns, of which every `step`-th pixel is looked at. `border_width`: the odds of a pixel grow
    by e for so much distance from the old border. Pixels are alike as far as their colours differ
    by less than `colour_sigma` levels, and count less the further they are, half of `reach` being
    the deviation. What they say counts `weight` times as much as a distance of `border_width`;
    `unasked` of what they would say whatever their colours is taken off, as by nearness alone what
    is round shrinks.

    How far colours speak for the pixels that would change is from -1 to 1: 1 where all that are
    alike are of the new side. A mask stays as it is where that is less than `least_said` in the
    mean, and not by `least_beyond` more than what nearness alone says.

    The odds of a pixel by its colour alone, `fit_colours`, count `model_weight` times.
    """

    band: int = 6
    reach: int = 12
    step: int = 2
    border_width: float = 3.0
    colour_sigma: float = 18.0
    weight: float = 4.0
    unasked: float = 0.5
    rounds: int = 5
    least_said: float = 0.75
    least_beyond: float = 0.53
    model_weight: float = 0.0

    @property
    def halo(self) -> int:
        """How far away a pixel may be and have a say, through others, in pixels."""
        return self.band + self.rounds * self.reach


FIELD = Field()
"""Chosen on drawn scenes of another seed than those scored; others nearby are as good to 0.01."""


class Decision(NamedTuple):
    """A mask decided anew, bool (height, width), and what speaks for it where it has changed.

    `said` and `beyond` (see `Field`) int32 (height, width), thousandths, 0 where nothing has.
    """

    mask: BoolMask
    said: Int32s
    beyond: Int32s


def decide_border(
    pixels: UInt8Image, mask: BoolMask, field: Field = FIELD, odds: Float32s | None = None
) -> Decision:
    """A mask, bool (height, width), with its border decided anew by uint8 (height, width, 3).

    The image's own edge is no border. `odds` are log odds of each pixel by its colour
    alone, float32 (height, width), which count as `field` says.
    """
    distance = measure_distance(mask, field.band)
    rows, columns = np.nonzero(np.abs(distance) <= field.band)
    decision = Decision(mask.copy(), *np.zeros((2, *mask.shape), np.int32))
    if len(rows):
        likeness, nearness, offsets = _make_tables(field)
        unary = (distance[rows, columns] / np.float32(field.border_width)).astype(np.float32)
        if odds is not None:
            unary += np.float32(field.model_weight) * odds[rows, columns]
        found = _solve(
            pixels, mask, rows, columns, unary, likeness, nearness, offsets,
            np.float32(field.weight), np.float32(field.unasked), field.rounds, _MOST_KEPT,
        )  # fmt: skip
        for part, values in zip(decision, found, strict=True):
            part[rows, columns] = values
    return decision


@lru_cache(maxsize=8)
def _make_tables(field: Field) -> tuple[Float32s, Float32s, Int64s]:
    """Likeness by the square of a distance of colours, nearness of each offset, offsets (n, 2).

    Colours further apart than the last are not alike at all.
    """
    squares = np.arange(int(_UNLIKE * 2 * field.colour_sigma**2))
    likeness = np.exp(-squares / (2 * field.colour_sigma**2)).astype(np.float32)
    likeness[-1] = 0
    sides = np.arange(-field.reach, field.reach + 1, field.step)
    offsets = np.stack(np.meshgrid(sides, sides, indexing="ij"), axis=-1).reshape(-1, 2)
    offsets = offsets[offsets.any(axis=1)].astype(np.int64)
    deviation = field.reach / 2
    nearness = np.exp(-(offsets**2).sum(axis=1) / (2 * deviation**2)).astype(np.float32)
    return likeness, nearness, offsets


@jit_exact
def measure_distance(mask: BoolMask, most: int) -> Float32s:
    """Euclidean distance from the border in pixels, positive inside; beyond `most` any larger one.

    float32 of the mask's shape. A pixel beside the border has half a pixel.
    """
    height, width = mask.shape
    beyond = most + 2
    straight = np.empty((height, width), np.int64)  # to the nearest pixel of the other kind
    for x in range(width):
        far = beyond
        for y in range(height):
            far = 1 if y and mask[y, x] != mask[y - 1, x] else min(far + 1, beyond)
            straight[y, x] = far
        far = beyond
        for y in range(height - 2, -1, -1):
            far = 1 if mask[y, x] != mask[y + 1, x] else min(far + 1, beyond)
            straight[y, x] = min(straight[y, x], far)
    distance = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            nearest = straight[y, x] ** 2
            for u in range(max(x - most - 1, 0), min(x + most + 2, width)):
                other = 0 if mask[y, u] != mask[y, x] else straight[y, u]
                nearest = min(nearest, (u - x) ** 2 + other**2)
            away = np.float32(np.sqrt(np.float64(nearest)) - 0.5)
            distance[y, x] = away if mask[y, x] else -away
    return distance


@jit_exact
def _solve(
    pixels: UInt8Image, mask: BoolMask, rows: Int64s, columns: Int64s, unary: Float32s,
    likeness: Float32s, nearness: Float32s, offsets: Int64s, weight: np.float32,
    unasked: np.float32, rounds: int, most_kept: int,
) -> tuple[BoolMask, Int32s, Int32s]:  # fmt: skip
    """Which of the pixels at `rows` and `columns` are inside, and what speaks for it: of (n,).

    What is alike is compared once for up to `most_kept` pixels, else in every round.
    """
    height, width = mask.shape
    reach = int(offsets.max())
    row = width + 2 * reach
    # With a margin that says nothing, so that no neighbour need be looked for at its row.
    share = np.zeros((height + 2 * reach) * row, np.float32)
    colours = np.full((len(share), 3), _NO_COLOUR, np.int32)
    for y in range(height):
        for x in range(width):
            place = (y + reach) * row + x + reach
            share[place] = np.float32(1 if mask[y, x] else -1)
            for channel in range(3):
                colours[place, channel] = pixels[y, x, channel]
    places = (rows + reach) * row + columns + reach
    moves = offsets[:, 0] * row + offsets[:, 1]
    count = len(rows)
    for k in range(count):
        share[places[k]] = _squash(unary[k])
    is_kept = count <= most_kept
    alike = np.empty((count if is_kept else 1, len(moves)), np.float32)
    fresh = np.empty(count, np.float32)
    for number in range(rounds):
        for k in range(count):
            weights = alike[k] if is_kept else alike[0]
            if number == 0 or not is_kept:
                _compare(colours, places[k], moves, likeness, nearness, unasked, weights)
                weights *= weight
            fresh[k] = _squash(unary[k] + _add_up(weights, share, places[k], moves))
        for k in range(count):
            share[places[k]] = fresh[k]
    inside = fresh > 0
    for k in range(count):
        share[places[k]] = np.float32(1 if inside[k] else -1)
    said, beyond, weights = np.zeros(count, np.int32), np.zeros(count, np.int32), alike[0]
    for k in range(count):
        if inside[k] != mask[rows[k], columns[k]]:
            side = 1000 if inside[k] else -1000
            _compare(colours, places[k], moves, likeness, nearness, np.float32(0), weights)
            said[k] = round(side * _add_up(weights, share, places[k], moves))
            _compare(colours, places[k], moves, likeness, nearness, np.float32(1), weights)
            beyond[k] = round(side * _add_up(weights, share, places[k], moves))
    return inside, said, beyond


@jit_exact
def _compare(
    colours: Int32s, place: int, moves: Int64s, likeness: Float32s, nearness: Float32s,
    unasked: np.float32, alike: Float32s,
) -> None:  # fmt: skip
    """Fill in the share that each neighbour of a pixel has in what is said of it."""
    last = len(likeness) - 1
    red, green, blue = colours[place, 0], colours[place, 1], colours[place, 2]
    total = near = np.float32(1e-6)
    for n in range(len(moves)):
        other = place + moves[n]
        alike[n] = 0
        if colours[other, 0] != _NO_COLOUR:
            by_red, by_green = colours[other, 0] - red, colours[other, 1] - green
            by_blue = colours[other, 2] - blue
            square = by_red * by_red + by_green * by_green + by_blue * by_blue
            alike[n] = nearness[n] * likeness[min(square, last)]
            total += alike[n]
            near += nearness[n]
    for n in range(len(moves)):
        if colours[place + moves[n], 0] != _NO_COLOUR:
            alike[n] = alike[n] / total - unasked * nearness[n] / near


@jit_exact
def _add_up(alike: Float32s, share: Float32s, place: int, moves: Int64s) -> np.float32:
    """What all around say of a pixel, in four sums side by side."""
    first = second = third = fourth = np.float32(0)
    for n in range(0, len(moves) - 3, 4):
        first += alike[n] * share[place + moves[n]]
        second += alike[n + 1] * share[place + moves[n + 1]]
        third += alike[n + 2] * share[place + moves[n + 2]]
        fourth += alike[n + 3] * share[place + moves[n + 3]]
    return (first + second) + (third + fourth)


@jit_exact
def _squash(odds: np.float32) -> np.float32:
    """Log odds of a pixel as its expected side, 1 inside and -1 outside."""
    return np.float32(np.tanh(np.float64(odds) / 2))
