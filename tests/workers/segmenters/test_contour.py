"""Only cells near a mask's contour are computed, and the mask is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from workers.segmenters.decoder.contour import (
    Levels,
    fill_unknown,
    first_cells,
    know_nothing,
    next_cells,
    note_sides,
)

LEVELS = Levels.around(0.0, 1.0)
ROWS, COLUMNS = 13, 18


def smooth_logits(seed: int, masks: int = 3) -> np.ndarray:
    """Blobs of several cells, float32 (masks, 4 * ROWS, 4 * COLUMNS)."""
    coarse = torch.randn(masks, 1, 6, 8, generator=torch.Generator().manual_seed(seed)) * 12
    smooth = functional.interpolate(coarse, (4 * ROWS, 4 * COLUMNS), mode="bicubic")
    return smooth[:, 0].numpy()


def follow(true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logits that are found when cells are computed as wanted, and which cells were."""
    found = np.full_like(true, np.nan)
    known, cells = know_nothing(ROWS, COLUMNS), first_cells(ROWS, COLUMNS)
    computed = np.zeros(ROWS * COLUMNS, np.bool_)
    while len(cells):
        assert not computed[cells].any()
        computed[cells] = True
        at = np.kron(computed.reshape(ROWS, COLUMNS), np.ones((4, 4), np.bool_))
        found[:, at] = true[:, at]
        note_sides(found, cells, LEVELS, known)
        cells = next_cells(known)
    fill_unknown(found, known, LEVELS)
    return found, computed


@given(st.integers(0, 2**32 - 1))
def test_masks_at_every_level_are_the_same(seed: int) -> None:
    true = smooth_logits(seed)
    found, computed = follow(true)
    assert np.isfinite(found).all()
    for level in (-1.0, 0.0, 1.0):
        differs = ((found > level) != (true > level)).any(axis=0)
        cells = differs.reshape(ROWS, 4, COLUMNS, 4).any(axis=(1, 3))
        # What is missed is narrower than two cells.
        assert not (cells[1:, 1:] & cells[:-1, 1:] & cells[1:, :-1] & cells[:-1, :-1]).any()
    assert computed.sum() >= len(first_cells(ROWS, COLUMNS))


def test_a_quarter_is_enough_where_there_is_no_contour() -> None:
    true = np.full((2, 4 * ROWS, 4 * COLUMNS), -9, np.float32)
    true[1] = 9
    found, computed = follow(true)
    assert computed.sum() == len(first_cells(ROWS, COLUMNS)) == 7 * 10
    assert (found[0] < -1).all()
    assert (found[1] > 1).all()


def test_a_contour_is_followed_to_where_it_leaves_the_first_cells() -> None:
    true = np.full((1, 4 * ROWS, 4 * COLUMNS), -9, np.float32)
    true[0, 4:8, 2:70] = 9  # along a row of cells that is not among the first, but for both ends
    true[0, 0:6, 2:6] = 9
    found, _ = follow(true)
    np.testing.assert_array_equal(found > 0, true > 0)


def test_an_island_between_the_first_cells_is_missed() -> None:
    true = np.full((1, 4 * ROWS, 4 * COLUMNS), -9, np.float32)
    true[0, 4:8, 4:8] = 9
    assert not (follow(true)[0] > 0).any()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (2, 2), (7, 4)])
def test_every_cell_is_beside_one_of_the_first(rows: int, columns: int) -> None:
    marked = np.zeros((rows, columns), np.bool_)
    marked.flat[first_cells(rows, columns)] = True
    padded = np.pad(marked, 1)
    around = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    assert np.logical_or.reduce(around).all()
