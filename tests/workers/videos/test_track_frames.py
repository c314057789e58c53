"""Tracks through the frames of a shot: who goes on as whom."""

from __future__ import annotations

import numpy as np
import pytest
from support.drawn_tracks import (
    SIZE_HW,
    FoundObject,
    draw_square,
    find_square,
    make_vector,
    track_found,
)

from schemas.masks import CocoRle, ObjectMask
from schemas.overlaps import mask_iou
from schemas.videos import Sighting, Track
from workers.videos.duplicates import find_distinct
from workers.videos.mask_patches import compare_patches, cut_patch
from workers.videos.motion import Motion
from workers.videos.summarise_track import summarise_track
from workers.videos.worth import find_track_vector, keep_best_vectors, measure_worth

CUP, TREE = make_vector(1), make_vector(0, 1)
ELSE = make_vector(0, 0, 1)


_WORTHS = (0.9, 0.1, 0.5, 0.6, 0.2, 0.7, 0.8)


def follow(
    *frames: list[FoundObject], embedded: list[tuple[float, ObjectMask]] | None = None
) -> tuple[Track, ...]:
    """Frames half a second apart."""
    return track_found([(k / 2, found) for k, found in enumerate(frames)], embedded)


def corners(track: Track) -> list[tuple[int, int]]:
    return [each.mask.bbox_xyxy[:2] for each in track.sightings]


def test_objects_go_on_where_they_are_near_and_alike() -> None:
    cup, tree = follow(
        [find_square(0, 0, CUP), find_square(40, 40, TREE)],
        [find_square(42, 40, TREE), find_square(3, 0, CUP)],
        [find_square(6, 0, CUP), find_square(44, 40, TREE)],
    )
    assert corners(cup) == [(0, 0), (3, 0), (6, 0)]
    assert corners(tree) == [(40, 40), (42, 40), (44, 40)]
    assert cup.vector_sum.tolist() == (3 * CUP).tolist()
    assert [each.time_s for each in tree.sightings] == [0, 0.5, 1]


def test_twins_are_told_apart_by_how_they_move() -> None:
    # They pass each other; each is nearer to where the other was.
    right, left = follow(
        [find_square(0, 10, CUP), find_square(50, 10, CUP)],
        [find_square(12, 10, CUP), find_square(38, 10, CUP)],
        [find_square(24, 10, CUP), find_square(26, 10, CUP)],
        [find_square(36, 10, CUP), find_square(14, 10, CUP)],
    )
    assert [x for x, _ in corners(right)] == [0, 12, 24, 36]
    assert [x for x, _ in corners(left)] == [50, 38, 26, 14]


def test_what_stops_is_found_where_it_was() -> None:
    (cup,) = follow(
        *([find_square(x, 0, make_vector(1, 0.8 * (x == 30)))] for x in (0, 15, 30, 30))
    )
    assert len(cup.sightings) == 4


def test_what_was_away_comes_back_by_its_colours() -> None:
    empty: list[FoundObject] = []
    (cup,) = follow([find_square(0, 0, CUP)], *[empty] * 5, [find_square(60, 40, CUP)])
    assert corners(cup) == [(0, 0), (60, 40)]
    # Too long ago; too large; not alike.
    assert len(follow([find_square(0, 0, CUP)], *[empty] * 6, [find_square(60, 40, CUP)])) == 2
    assert len(follow([find_square(0, 0, CUP)], empty, [find_square(30, 20, CUP, side=25)])) == 2
    assert len(follow([find_square(0, 0, CUP)], empty, [find_square(60, 40, TREE)])) == 2


def test_of_what_looks_the_same_the_nearer_comes_back() -> None:
    empty: list[FoundObject] = []
    tracks = follow(
        [find_square(0, 0, CUP), find_square(60, 45, CUP)],
        *[empty] * 5,
        [find_square(60, 20, CUP), find_square(0, 25, CUP)],
    )
    assert [corners(track) for track in tracks] == [[(0, 0), (0, 25)], [(60, 45), (60, 20)]]


def test_of_masks_of_one_object_one_begins_a_track() -> None:
    whole, part = find_square(0, 0, CUP, side=20, sure=0.8), find_square(0, 0, TREE, sure=0.9)
    (track,) = follow([whole, part])
    assert track.sightings[0].mask == part.mask
    masks = [draw_square(0, 0, 20, sure=0.8), draw_square(0, 0, 10, sure=0.9), draw_square(30, 0)]
    assert find_distinct(masks, ()) == [1, 2]
    assert find_distinct(masks, {0}) == [2]


def test_what_a_track_takes_stays_though_another_mask_is_surer() -> None:
    tracks = follow(
        [find_square(0, 0, CUP, side=20, sure=0.8)],
        [find_square(0, 0, ELSE, sure=0.9), find_square(1, 0, CUP, side=20, sure=0.8)],
    )
    assert [len(track.sightings) for track in tracks] == [2]


def test_frames_may_be_far_apart() -> None:
    frames = [(30.0 * k, [find_square(k, 0, CUP)]) for k in range(4)]
    assert [len(track.sightings) for track in track_found(frames)] == [4]
    # What is not in a frame is gone by the next one.
    assert len(track_found([frames[0], (30.0, []), frames[2]])) == 2


def test_nothing_gives_no_tracks() -> None:
    assert track_found([]) == ()
    assert follow([], []) == ()


@pytest.mark.parametrize("seed", range(20))
def test_every_sighting_is_of_one_track_and_none_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(8):
        places = rng.integers(0, 40, (int(rng.integers(0, 6)), 2)).tolist()
        vectors = [make_vector(*rng.random(3)) for _ in places]
        sides = [int(rng.integers(5, 20)) for _ in places]
        frames.append(
            [
                find_square(x, y, v, side=s)
                for (x, y), v, s in zip(places, vectors, sides, strict=True)
            ]
        )
    tracks = follow(*frames)
    seen = [(each.time_s, each.mask.rle.counts) for track in tracks for each in track.sightings]
    for k, found in enumerate(frames):
        here = [counts for time_s, counts in seen if time_s == k / 2]
        assert len(here) <= len(found)
        assert set(here) <= {each.mask.rle.counts for each in found}
    for track in tracks:
        times = [each.time_s for each in track.sightings]
        assert times == sorted(set(times))
        kept = [each for each in track.sightings if each.vector is not None]
        assert len(kept) == min(3, len(times))
    assert [track.start_s for track in tracks] == sorted(track.start_s for track in tracks)


def test_the_best_frames_are_large_sure_and_whole() -> None:
    small, large = draw_square(20, 20, 10), draw_square(20, 20, 20)
    assert (
        measure_worth(large)
        > measure_worth(small)
        > measure_worth(draw_square(20, 20, 10, sure=0.5))
    )
    assert measure_worth(large) == pytest.approx(0.81 * (400 / 4800) ** 0.5)
    assert measure_worth(draw_square(0, 20, 20)) == pytest.approx(measure_worth(large) / 2)
    full = ObjectMask.measure(CocoRle.from_mask(np.ones((10, 10), np.bool_)))
    assert full is not None
    assert measure_worth(full) == 1


def test_a_track_is_searched_by_its_best_frames() -> None:
    other = make_vector(1, 0.5)
    poor = [find_square(5, 5, other, side=9) for _ in range(3)]
    good = [find_square(5, 5, CUP, side=12) for _ in range(4)]
    embedded: list[tuple[float, ObjectMask]] = []
    (track,) = follow(*([each] for each in [good[0], *poor, *good[1:]]), embedded=embedded)
    assert [time_s for time_s, _ in embedded] == [0, 2, 2.5]
    has_vector = [each.vector is not None for each in track.sightings]
    assert has_vector == [True, False, False, False, True, True, False]
    assert find_track_vector(track).tolist() == CUP.tolist()
    assert track.vector_sum.tolist() == (3 * CUP).tolist()


def test_vectors_stay_with_the_best() -> None:
    sightings = [Sighting(k / 2, draw_square(5, 5), worth, CUP) for k, worth in enumerate(_WORTHS)]
    kept = [each.vector is not None for each in keep_best_vectors(sightings)]
    assert kept == [True, False, True, True, False, True, True]


def test_what_goes_on_nearby_and_what_is_shown_twice_need_no_vectors() -> None:
    whole = [find_square(3 * k, 0, CUP, side=20, sure=0.8) for k in range(8)]
    part = [find_square(3 * k + 12, 0, TREE, side=8, sure=0.7) for k in range(8)]
    embedded: list[tuple[float, ObjectMask]] = []
    (track,) = follow(*map(list, zip(whole, part, strict=True)), embedded=embedded)
    assert len(track.sightings) == 8
    assert [mask.area_px for _, mask in embedded] == [400, 400, 400]


def test_things_side_by_side_are_told_apart_by_their_colours() -> None:
    # Each moves to where the other was; embedded they would be the same.
    cup, tree = follow(
        [find_square(0, 0, ELSE, colours=CUP), find_square(10, 0, ELSE, colours=TREE)],
        [find_square(10, 0, ELSE, colours=CUP), find_square(0, 0, ELSE, colours=TREE)],
    )
    assert (corners(cup), corners(tree)) == ([(0, 0), (10, 0)], [(10, 0), (0, 0)])


def test_patches_overlap_as_their_masks() -> None:
    rng = np.random.default_rng(1)
    masks = [
        draw_square(*rng.integers(-10, 500, 2).tolist(), int(rng.integers(40, 200)), (480, 640))
        for _ in range(12)
    ]
    patches = [cut_patch(mask) for mask in masks]
    rles = [mask.rle for mask in masks]
    exact = mask_iou(rles, rles)
    assert compare_patches(patches, patches) == pytest.approx(exact, abs=0.02)
    assert (np.diag(compare_patches(patches, patches)) == 1).all()
    moved = [patch.move((64.0, -20.0)) for patch in patches]
    assert compare_patches(moved, moved) == pytest.approx(compare_patches(patches, patches))
    assert compare_patches([], patches).shape == (0, 12)


def test_odd_shapes_are_read_right() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.random(SIZE_HW) < 0.3
    pixels[:, :7] = pixels[50:] = False
    mask = ObjectMask.measure(CocoRle.from_mask(pixels))
    assert mask is not None
    patch = cut_patch(mask)
    x0, y0, x1, y1 = mask.bbox_xyxy
    assert (patch.x, patch.y, patch.step_px) == (x0, y0, 1)
    assert (patch.pixels == pixels[y0:y1, x0:x1]).all()


def test_motion_leans_on_what_is_newest() -> None:
    masks = [draw_square(x, 0) for x in (0, 10, 40)]
    motion = Motion(0.0, masks[0], cut_patch(masks[0]))
    assert motion.predict_shift(1.0).tolist() == [0, 0]
    motion = motion.follow(1.0, masks[1], cut_patch(masks[1]))
    motion = motion.follow(2.0, masks[2], cut_patch(masks[2]))
    assert motion.predict_shift(2.5).tolist() == pytest.approx([12, 0])


def test_a_track_is_summed_up() -> None:
    (track,) = follow(*([find_square(x, 0, CUP)] for x in (0, 5, 10)))
    summary = summarise_track(track)
    assert (summary.start_s, summary.end_s, summary.duration_s) == (0, 1, 1)
    assert (summary.frame_count, summary.mean_area_frac) == (3, pytest.approx(100 / 4800))
    assert summary.motion == pytest.approx(10 / 100)
    assert summarise_track(follow([find_square(0, 0, CUP)])[0]).motion == 0
