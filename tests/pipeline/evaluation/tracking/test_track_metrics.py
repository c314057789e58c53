"""HOTA, IDF1, MOTA and switches of tracks, against motrics and against cases done by hand."""

from __future__ import annotations

import motrics
import numpy as np
import pytest
from support.drawn_tracks import draw_comparisons, list_for_motrics, separate_pairs

from pipeline.evaluation.tracking.clear import measure_clear
from pipeline.evaluation.tracking.comparison import FrameComparison
from pipeline.evaluation.tracking.hota import ALPHAS, measure_hota
from pipeline.evaluation.tracking.identity import measure_identity

EXACT = 1e-9


def frame(true, tracks, similarity):
    table = np.array(similarity, np.float64).reshape(len(true), len(tracks))
    return FrameComparison(true, tracks, table)


@pytest.mark.parametrize("seed", range(60))
def test_they_are_those_of_motrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = draw_comparisons(rng, objects=int(rng.integers(1, 8)), tracks=int(rng.integers(8, 12)))
    given = list_for_motrics(frames)
    hota, expected = measure_hota(frames), motrics.compute_hota_from_similarity(*given)
    assert hota.hota == pytest.approx(expected.hota, abs=EXACT)
    assert hota.det_a == pytest.approx(expected.deta, abs=EXACT)
    assert hota.ass_a == pytest.approx(expected.assa, abs=EXACT)
    identity = measure_identity(frames)
    assert identity.idf1 == pytest.approx(
        motrics.compute_identity_from_similarity(*given, 0.5).idf1, abs=EXACT
    )


@pytest.mark.parametrize("seed", range(60))
def test_mota_is_that_of_motrics_where_nothing_is_to_choose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # It does not keep partners as TrackEval does, and rounds where an object has none.
    frames = separate_pairs(draw_comparisons(rng, objects=5, tracks=9))
    wanted = motrics.compute_clear_from_similarity(*list_for_motrics(frames), 0.5)
    clear = measure_clear(frames)
    assert clear.mota == pytest.approx(wanted.mota, abs=EXACT)
    assert (clear.switches, clear.true_positives) == (wanted.num_switches, wanted.num_matches)
    assert clear.false_positives == wanted.num_false_positives
    assert clear.false_negatives == wanted.num_misses


def test_a_track_that_is_swapped_halfway() -> None:
    # Two objects, ten frames; after the sixth the tracks change places.
    before, after = np.eye(2), np.eye(2)[::-1]
    frames = [frame([1, 2], [7, 8], before if k < 6 else after) for k in range(10)]
    identity = measure_identity(frames)
    assert (identity.true_positives, identity.idf1) == (12, pytest.approx(0.6))
    clear = measure_clear(frames)
    assert (clear.switches, clear.mota) == (2, pytest.approx((20 - 2) / 20))
    # Of each match of a pair: 6 of 14 frames, or 4 of 16, are both's.
    expected = (12 * 6 / 14 + 8 * 4 / 16) / 20
    hota = measure_hota(frames)
    assert hota.det_a == pytest.approx(1)
    assert hota.ass_a == pytest.approx(expected)
    assert hota.hota == pytest.approx(expected**0.5)


def test_similarities_count_up_to_their_alpha() -> None:
    frames = [frame([1], [1], [[0.8]]), frame([1], [1], [[0.4]])]
    both, one = (ALPHAS <= 0.4 + 1e-9).sum(), ((ALPHAS > 0.4 + 1e-9) & (ALPHAS <= 0.8 + 1e-9)).sum()
    hota = measure_hota(frames)
    # One of three masks is right, and a pair has one of three frames.
    assert hota.hota == pytest.approx((both + one / 3) / len(ALPHAS))
    assert measure_clear(frames).mota == pytest.approx(0)
    assert measure_identity(frames).idf1 == pytest.approx(0.5)


def test_a_partner_is_kept_while_it_is_near_enough() -> None:
    frames = [frame([1], [5, 6], [[0.9, 0.0]]), frame([1], [5, 6], [[0.5, 0.9]])]
    assert measure_clear(frames).switches == 0
    apart = [frames[0], frame([1], [5, 6], [[0.49, 0.9]])]
    assert measure_clear(apart).switches == 1


def test_a_partner_is_kept_although_more_could_be_matched() -> None:
    frames = [
        frame([0, 1], [5], [[0.9], [0.0]]),
        frame([0, 1], [5, 6], [[0.5, 0.6], [0.7, 0.0]]),
    ]
    clear = measure_clear(frames)
    assert (clear.true_positives, clear.switches) == (2, 0)


def test_partners_end_where_there_are_others() -> None:
    first, again = frame([1], [5], [[0.9]]), frame([1], [5, 6], [[0.5, 0.6]])
    for between in (frame([], [8], []), frame([2], [], [])):
        assert measure_clear([first, between, again]).switches == 0
    assert measure_clear([first, frame([1], [8], [[0.1]]), again]).switches == 1


def test_one_track_of_two_objects_counts_once() -> None:
    # Three frames of one object, then two of another, all in one track.
    frames = [frame([k >= 3], [0], [[1.0]]) for k in range(5)]
    assert measure_identity(frames).idf1 == pytest.approx(2 * 3 / (5 + 5))
    assert measure_clear(frames).mota == 1
    assert measure_hota(frames).ass_a == pytest.approx((3 * 3 / 5 + 2 * 2 / 5) / 5)


@pytest.mark.parametrize(
    ("frames", "mota"),
    [
        ([], 0.0),
        ([frame([], [], [])], 0.0),
        ([frame([1], [], [])], 0.0),
        ([frame([], [1], [])], -1.0),
        ([frame([1], [2], [[0.0]])], -1.0),
    ],
)
def test_nothing_right_is_zero(frames: list[FrameComparison], mota: float) -> None:
    assert measure_identity(frames).idf1 == 0
    assert measure_hota(frames).hota == 0
    assert measure_clear(frames).mota == mota


def test_frames_must_make_sense() -> None:
    with pytest.raises(ValueError, match=r"expected similarities \(1, 2\), got \(1, 1\)"):
        FrameComparison([1], [1, 2], np.zeros((1, 1)))
    with pytest.raises(ValueError, match="expected ids that differ within a frame"):
        measure_hota([frame([1, 1], [2], [[0.1], [0.2]])])
