"""What the benchmark of refiners counts: masks of a drawn disk, and distances by hand."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console
from support.drawn_errors import draw_error, draw_true, paint

from bench.contours import measure_distance_px
from bench.refine import Contest, DrawnScene, pair_best
from schemas.masks import BoolMask, CocoRle, ObjectMask
from schemas.options import TidyOptions
from workers.refiners.edges import EdgeRefiner
from workers.refiners.tidy import TidyRefiner

TRUE = CocoRle.from_mask(draw_true())


def measure(mask: BoolMask) -> ObjectMask:
    found = ObjectMask.measure(CocoRle.from_mask(mask))
    assert found is not None
    return found


def test_distances_are_those_of_squares_by_hand() -> None:
    small, large = np.zeros((2, 20, 20), np.bool_)
    small[8:11, 8:11], large[6:13, 6:13] = True, True
    given, other = CocoRle.from_mask(small), CocoRle.from_mask(large)
    assert measure_distance_px(given, given) == 0
    # From the small one's 8 pixels 2 each; from the large one's 24: four corners, of each side 3
    # opposite and 2 beside those.
    back = (4 * 8**0.5 + 12 * 2 + 8 * 5**0.5) / 24
    assert measure_distance_px(given, other) == pytest.approx((2 + back) / 2)


def test_every_object_has_its_best_mask_as_far_as_any_touches_it() -> None:
    elsewhere = np.zeros_like(draw_true())
    elsewhere[:3, :3] = True
    masks = [measure(draw_error(error, 3)) for error in ("eroded", "holes", "dilated")]
    true = [CocoRle.from_mask(elsewhere), TRUE]
    assert list(pair_best(masks, true)) == [(1, 1)]
    assert list(pair_best([], true)) == []


def test_chains_are_held_against_the_same_masks() -> None:
    contest = Contest({"edges": (EdgeRefiner(),), "tidy": (TidyRefiner(TidyOptions()),)})
    for mask in (draw_error("eroded", 4), draw_error("eroded", 20)):
        contest.play(DrawnScene(paint(draw_true()), (TRUE,)), [measure(mask)])
    figures = contest.report(Console(quiet=True))
    assert list(figures) == ["-", "edges", "tidy"]
    # The second has an IoU of a quarter: it counts for what is found alone.
    assert figures["-"]["IoU"] == figures["tidy"]["IoU"] == pytest.approx(0.81, abs=0.01)
    assert figures["edges"]["IoU"] == 1
    assert (figures["edges"]["better"], figures["tidy"]["better"]) == (1, 0)
    assert figures["edges"]["contours px"] == 0
    assert [figures[name]["found 0.75"] for name in figures] == [0.5, 0.5, 0.5]
    assert len(contest.changes) == 2
