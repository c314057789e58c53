"""What tracks show of a video's true objects, masks' quality, retrieval by text, and cuts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.drawn_tracks import draw_square, make_vector

from pipeline.evaluation.tracking.compared_video import (
    ComparedVideo,
    compare_video,
    measure_span_iou,
)
from pipeline.evaluation.tracking.comparison import TrueMask, compare_frame
from pipeline.evaluation.tracking.cuts import CutCounts, count_cuts
from pipeline.evaluation.tracking.mask_quality import MaskQuality, measure_mask_quality
from pipeline.evaluation.tracking.object_coverage import measure_coverage, measure_text_retrieval
from schemas.masks import CocoRle
from schemas.videos import Sighting, Track

SIZE_HW = (480, 640)
CUP, TREE = make_vector(1), make_vector(0, 1)


def square(x: int, y: int = 100, side: int = 40):
    return draw_square(x, y, side, SIZE_HW)


def true(x: int, visible: float = 1.0, side: int = 40) -> TrueMask:
    return TrueMask(square(x, side=side).rle, visible)


def track(places: dict[float, int], vector=CUP) -> Track:
    sightings = tuple(Sighting(t, square(x), 0.5, vector) for t, x in places.items())
    return Track(sightings, vector * len(sightings))


def test_what_is_hidden_or_small_is_neither_right_nor_wrong() -> None:
    here = {1: true(0), 2: true(100, visible=0.4), 3: true(200, side=20)}
    found = {7: square(2).rle, 8: square(102).rle, 9: square(201, side=20).rle, 10: square(400).rle}
    compared = compare_frame(here, found)
    assert compared.true_ids == [1]
    assert compared.track_ids == [7, 10]
    assert compared.similarity.tolist() == [[pytest.approx(38 / 42), 0]]


def test_what_shows_an_object_that_counts_is_kept() -> None:
    # It lies on one that is nearly hidden as well.
    compared = compare_frame({1: true(0), 2: true(5, visible=0.1)}, {7: square(3).rle})
    assert compared.track_ids == [7]


def make_video() -> ComparedVideo:
    """A cup in five frames, followed in four of them by two tracks; a tree; and a false track."""
    times = [k / 2 for k in range(5)]
    truth = {t: {1: true(round(20 * t)), 2: true(300)} for t in times}
    truth[2.5] = {2: true(300, visible=0.3)}
    tracks = [
        track({0.0: 0, 0.5: 10, 1.0: 20}),
        track({1.5: 30, 2.0: 300}),
        track(dict.fromkeys([*times, 2.5], 300), TREE),
        track({0.0: 500, 0.5: 500}, TREE),
    ]
    return compare_video(4, tracks, truth, 0.5)


def test_tracks_show_what_they_agree_with_in_half_of_their_frames() -> None:
    video = make_video()
    assert list(video.shown) == [1, 1, 2, None]
    assert video.agreed[0][1] == 3
    assert video.agreed[2][2] == 6
    assert video.objects[1].span_s == (0, 2)
    assert video.objects[2].frame_count == 5
    assert video.frames[0].true_ids == [(4, 1), (4, 2)]
    coverage = measure_coverage([video])
    assert (coverage.objects, coverage.tracks) == (2, 4)
    assert coverage.tracks_per_object == 1.5
    assert (coverage.covered, coverage.empty_tracks) == (1, 0.25)
    assert math.isnan(measure_coverage([]).covered)


def test_texts_find_tracks_with_their_spans() -> None:
    video = make_video()
    labels = [{1: "cup", 2: "tree"}]
    retrieval = measure_text_retrieval([video], labels, {"cup": CUP, "tree": TREE})
    assert (retrieval.objects, retrieval.right, retrieval.own) == (2, 1, 1)
    assert retrieval.right_first == 1
    # Nothing says which track a text is about: the first, which is the cup's, comes first.
    lost = measure_text_retrieval([video], labels, {"cup": CUP * 0, "tree": CUP * 0})
    assert (lost.right_first, lost.right) == (0.5, 1)


def test_a_frame_stands_for_a_step() -> None:
    assert measure_span_iou((0, 1), (0, 1), 0.5) == 1
    assert measure_span_iou((0, 0), (0, 1), 0.5) == pytest.approx(1 / 3)
    assert measure_span_iou((0, 1), (1.5, 3), 0.5) == 0


def test_times_are_equal_to_the_millisecond() -> None:
    video = compare_video(0, [track({0.30000000000000004: 0})], {0.3: {1: true(0)}}, 0.1)
    assert list(video.shown) == [1]
    with pytest.raises(KeyError):
        compare_video(0, [track({0.4: 0})], {0.3: {1: true(0)}}, 0.1)


def test_every_object_has_the_track_that_fits_it_best() -> None:
    cup, tree = ({k: square(x).rle for k in range(4)} for x in (0, 300))
    half = {k: rle for k, rle in cup.items() if k < 2}
    quality = measure_mask_quality([cup, tree], [half, tree, cup])
    assert quality == [MaskQuality(1, 1), MaskQuality(1, 1)]
    assert measure_mask_quality([cup, tree], [half]) == [MaskQuality(0.5, 0.5), MaskQuality(0, 0)]
    assert measure_mask_quality([cup], []) == [MaskQuality(0, 0)]
    moved = measure_mask_quality([{0: cup[0]}], [{0: square(20).rle}])[0]
    assert moved.j == pytest.approx(1 / 3)
    assert moved.j_and_f == pytest.approx((moved.j + moved.f) / 2)
    assert 0 < moved.f < 1


def test_an_empty_mask_has_no_quality() -> None:
    empty = CocoRle.from_mask(np.zeros(SIZE_HW, np.bool_))
    assert measure_mask_quality([{0: square(0).rle}], [{0: empty}]) == [MaskQuality(0, 0)]


def test_cuts_are_told_once_and_in_time() -> None:
    assert count_cuts([2.0, 5.0], [(2.0, 2.0)]) == CutCounts(1, 1, 0)
    assert count_cuts([2.1], [(2.0, 2.0)]) == CutCounts(0, 1, 1)
    assert count_cuts([2.1, 2.6], [(2.0, 3.0)]) == CutCounts(1, 1, 0)
    assert count_cuts([], []).f1 == 1
    assert (CutCounts(1, 0, 0) + CutCounts(0, 1, 1)).f1 == 0.5
