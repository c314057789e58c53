"""Videos put together from their pieces: shared frames, shots, links, and what is dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.drawn_tracks import FoundObject, draw_square, find_square, make_vector
from support.video_pieces import frame_vector, make_part, track_pieces

from schemas.options import VideoOptions
from schemas.thumbnails import Thumbnail
from schemas.videos import Shot, Sighting, Track
from workers.videos.growing_shot import GrowingTrack
from workers.videos.join_pieces import join_pieces
from workers.videos.link_tracks import link_tracks
from workers.videos.worth import find_track_vector, make_unit

CUP, TREE = make_vector(1), make_vector(0, 1)
Frames = list[tuple[float, list[FoundObject]]]


def at_half_seconds(*found: list[FoundObject]) -> Frames:
    return [(k / 2, each) for k, each in enumerate(found)]


def join(
    frames: Frames, *, cuts_s: tuple[float, ...] = (), steps: int | None = None, **options: bool
) -> list[Shot]:
    pieces = track_pieces(frames, cuts_s, steps, size_hw=(60, 80))
    return join_pieces(pieces, VideoOptions(**options))


def times(track: Track) -> list[float]:
    return [each.time_s for each in track.sightings]


CROSSING = at_half_seconds(
    *(
        [find_square(5 * k, 10, CUP), find_square(60 - 5 * k, 40, TREE), *extra]
        for k, extra in enumerate([[]] * 4 + [[find_square(60, 0, make_vector(0, 0, 1))]] * 6)
    )
)


@pytest.mark.parametrize("steps", range(1, 12))
def test_pieces_give_what_the_whole_gives(steps: int) -> None:
    (whole,), (joined,) = join(CROSSING), join(CROSSING, steps=steps)
    assert joined.part.times_s == whole.part.times_s == tuple(k / 2 for k in range(10))
    for track, expected in zip(joined.tracks, whole.tracks, strict=True):
        assert [(each.time_s, each.mask) for each in track.sightings] == [
            (each.time_s, each.mask) for each in expected.sightings
        ]
        # Of each piece a few sightings are embedded: there are more of several.
        assert make_unit(track.vector_sum) == pytest.approx(make_unit(expected.vector_sum))
        assert find_track_vector(track) == pytest.approx(find_track_vector(expected))
        assert track.best.time_s == expected.best.time_s


def test_tracks_stand_in_order_the_larger_ones_first() -> None:
    frames = [find_square(0, 0, CUP), find_square(30, 30, TREE, side=20)]
    late = find_square(60, 0, make_vector(0, 0, 1), side=20)
    (shot,) = join(at_half_seconds(frames, [*frames, late], [*frames, late]), steps=1)
    assert [track.best.mask.area_px for track in shot.tracks] == [400, 100, 400]
    assert [track.start_s for track in shot.tracks] == [0, 0, 0.5]


@pytest.mark.parametrize("steps", [None, 1, 2, 3, 4])
def test_nothing_crosses_a_cut(steps: int | None) -> None:
    frames = at_half_seconds(*([find_square(0, 0, CUP)] for _ in range(6)))
    shots = join(frames, cuts_s=(1.0,), steps=steps)
    assert [shot.part.times_s for shot in shots] == [(0.0, 0.5), (1.0, 1.5, 2.0, 2.5)]
    assert [[times(track) for track in shot.tracks] for shot in shots] == [
        [[0.0, 0.5]],
        [[1.0, 1.5, 2.0, 2.5]],
    ]
    first, second = join(frames, cuts_s=(1.0,), steps=steps, across_shots=True)
    assert [times(track) for track in first.tracks] == [[0.0, 0.5, 1.0, 1.5, 2.0, 2.5]]
    assert list(second.tracks) == []


@pytest.mark.parametrize("steps", [None, 1, 4])
def test_what_was_away_is_linked_in_its_shot(steps: int | None) -> None:
    away: list[list[FoundObject]] = [[]] * 8
    cup = [find_square(0, 0, CUP)]
    frames = at_half_seconds(cup, cup, *away, cup, cup)
    (shot,) = join(frames, steps=steps)
    assert [times(track) for track in shot.tracks] == [[0.0, 0.5, 5.0, 5.5]]
    shots = join(frames, steps=steps, cuts_s=(2.0,))
    assert [len(each.tracks) for each in shots] == [1, 1]


def test_tracks_of_one_frame_are_dropped_but_in_shots_of_one() -> None:
    cup, tree = find_square(0, 0, CUP), find_square(40, 40, TREE)
    frames = at_half_seconds([cup, tree], [cup], [tree])
    assert [times(track) for track in join(frames)[0].tracks] == [[0.0, 0.5], [0.0, 1.0]]
    first, second = join(frames, cuts_s=(1.0,))
    assert [times(track) for track in first.tracks] == [[0.0, 0.5]]
    assert [times(track) for track in second.tracks] == [[1.0]]
    # A sighting by chance, across the border of two pieces.
    chance = at_half_seconds([cup], [cup, tree], [cup])
    assert [len(join(chance, steps=steps)[0].tracks) for steps in (1, 2, 3)] == [1, 1, 1]


def test_what_is_mostly_thought_wrong_is_dropped() -> None:
    for sure, count in ((0.5, 0), (0.6, 1)):
        frames = at_half_seconds(*([find_square(0, 0, CUP, sure=sure)] for _ in range(3)))
        assert len(join(frames)[0].tracks) == count
    # Of segmenters that predict no IoU nothing is known.
    unknown = FoundObject(replace(draw_square(0, 0), predicted_iou=None, segmenter_score=0.3), CUP)
    assert len(join(at_half_seconds([unknown], [unknown]))[0].tracks) == 1


def test_a_shot_is_summed_up_over_its_pieces() -> None:
    frames = at_half_seconds(*([] for _ in range(7)))
    whole = make_part(tuple(k / 2 for k in range(7)))
    for steps in (1, 2, 3, 6):
        (shot,) = join(frames, steps=steps)
        assert shot.part.times_s == whole.times_s
        # The frame that pieces share counts for about one.
        assert shot.part.vector_sum == pytest.approx(whole.vector_sum, abs=0.25)
        assert shot.part.typical_vector.tolist() == frame_vector(shot.part.typical_s).tolist()
    assert join_pieces([], VideoOptions()) == []


def test_the_shared_frame_is_told_once_though_its_masks_differ() -> None:
    # The next piece takes a surer part for the object that the first had whole.
    whole = [find_square(0, 0, CUP, side=20, sure=0.8)]
    both = [*whole, find_square(0, 0, CUP, side=15, sure=0.9)]
    frames = at_half_seconds(whole, whole, both, both, both)
    (shot,) = join(frames, steps=2)
    (track,) = shot.tracks
    assert times(track) == [0, 0.5, 1, 1.5, 2]
    assert [each.mask.area_px for each in track.sightings] == [400, 400, 400, 225, 225]
    assert make_unit(track.vector_sum) == pytest.approx(CUP)


def test_the_thumbnail_of_the_best_frame_stays() -> None:
    pieces = []
    for piece in track_pieces(CROSSING[:5], steps=2, size_hw=(60, 80)):
        shown = Thumbnail((0, 0, 1, 1), bytes([piece.piece.number]))
        tracks = tuple(replace(track, thumbnail=shown) for track in piece.tracks[0])
        pieces.append(replace(piece, tracks=(tracks,)))
    (shot,) = join_pieces(pieces, VideoOptions())
    # The cup touches the edge at first; the tree is whole everywhere: the first is the best.
    assert [track.thumbnail.webp for track in shot.tracks if track.thumbnail] == [b"\0", b"\0"]


def test_pieces_are_let_go_of() -> None:
    asked: list[int] = []

    def read():
        for piece in track_pieces(CROSSING, steps=3, size_hw=(60, 80)):
            asked.append(piece.piece.number)
            yield piece

    join_pieces(read(), VideoOptions())
    assert asked == [0, 1, 2]


def make_track(start_s: float, end_s: float, vector: np.ndarray, x: int = 0) -> Track:
    sightings = tuple(Sighting(t, draw_square(x, 0), 0.5, vector) for t in (start_s, end_s))
    return Track(sightings, 2 * vector)


def test_the_most_alike_are_linked_first_and_only_those_apart_in_time() -> None:
    near = make_vector(1, 0.3)
    first, other = make_track(0, 1, CUP), make_track(0.5, 2, CUP)
    later, latest = make_track(1.5, 3, near), make_track(4, 5, CUP)
    # The last one may go on from any; after both of the first at once, the earlier is taken.
    linked = sorted(times(track) for track in link_tracks([first, other, later, latest]))
    assert linked == [[0, 1, 4, 5], [0.5, 2], [1.5, 3]]
    assert len(link_tracks([first, make_track(11.5, 12, CUP)])) == 2
    assert len(link_tracks([first, make_track(2, 3, TREE)])) == 2
    assert link_tracks([]) == []


def test_of_what_looks_the_same_the_nearer_is_linked() -> None:
    here, there = make_track(0, 1, CUP, x=0), make_track(0, 1, CUP, x=60)
    back = make_track(5, 6, CUP, x=50)
    linked = {
        track.sightings[0].mask.bbox_xyxy[0]: track for track in link_tracks([here, there, back])
    }
    assert (len(linked[0].sightings), len(linked[60].sightings)) == (2, 4)


@pytest.mark.parametrize("vector", [None, CUP])
def test_the_shared_frame_adds_to_the_sum_once(vector: np.ndarray | None) -> None:
    growing = GrowingTrack(Track(make_track(0, 1, CUP).sightings, 2 * CUP))
    first, second = make_track(1, 2, CUP).sightings
    total = CUP if vector is None else 2 * CUP
    growing.follow(Track((replace(first, vector=vector), second), total))
    track = growing.close()
    assert times(track) == [0, 1, 2]
    assert track.vector_sum.tolist() == (3 * CUP).tolist()
