"""Tracks that a video model helps along: who goes on as whom, and what was missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from support.drawn_tracks import (
    FoundObject,
    draw_square,
    find_square,
    make_vector,
    track_found,
)

from schemas.masks import ObjectMask
from schemas.videos import Track
from workers.videos.propagator import CarriedMask

CUP, TREE, ELSE = make_vector(1), make_vector(0, 1), make_vector(0, 0, 1)
Carried = dict[int, CarriedMask]


@dataclass
class FakeCarrier:
    """Says what is carried to each frame after the first, and keeps what it was asked with."""

    answers: Sequence[Carried]
    asked: list[Mapping[int, ObjectMask | None]] = field(default_factory=list)

    def carry(self, masks: Mapping[int, ObjectMask | None]) -> Carried:
        self.asked.append(dict(masks))
        given = self.answers[len(self.asked) - 1]
        return {number: each for number, each in given.items() if number in masks}


def carry_square(x: int, y: int, side: int = 10, score: float = 0.9) -> CarriedMask:
    return CarriedMask(draw_square(x, y, side), score)


def follow(carrier: FakeCarrier, *frames: list[FoundObject]) -> tuple[Track, ...]:
    """Frames half a second apart."""
    return track_found([(k / 2, found) for k, found in enumerate(frames)], carrier=carrier)


def corners(track: Track) -> list[tuple[int, int]]:
    return [each.mask.bbox_xyxy[:2] for each in track.sightings]


def test_what_the_segmenter_misses_in_a_frame_stays_one_track() -> None:
    carrier = FakeCarrier([{0: carry_square(x, 0)} for x in (20, 40, 60)])
    found = [find_square(x, 0, CUP, sure=sure) for x, sure in ((0, 0.9), (20, 0.8), (60, 0.7))]
    (cup,) = follow(carrier, [found[0]], [found[1]], [], [found[2]])
    assert corners(cup) == [(0, 0), (20, 0), (40, 0), (60, 0)]
    assert [each.time_s for each in cup.sightings] == [0, 0.5, 1, 1.5]
    # Masks that were found show the model where it is; where none was, it goes on by itself.
    masks = [each.mask for each in found]
    assert carrier.asked == [{0: masks[0]}, {0: masks[1]}, {0: None}]
    # A frame in which nothing else has seen it does not make its vector or its key frame.
    carried = cup.sightings[2]
    assert (carried.vector, carried.worth) == (None, 0.0)
    assert cup.vector_sum.tolist() == (3 * CUP).tolist()
    assert cup.best.mask in masks


def test_without_a_carrier_it_has_a_gap() -> None:
    frames = [[find_square(0, 0, CUP)], [find_square(2, 0, CUP)], [], [find_square(6, 0, CUP)]]
    (cup,) = track_found([(k / 2, found) for k, found in enumerate(frames)])
    assert corners(cup) == [(0, 0), (2, 0), (6, 0)]


def test_twins_go_on_where_they_are_carried_to() -> None:
    # By their places and looks alone each would stay where it nearly was.
    carrier = FakeCarrier([{0: carry_square(31, 0), 1: carry_square(1, 0)}])
    first, second = follow(
        carrier,
        [find_square(0, 0, CUP), find_square(30, 0, CUP)],
        [find_square(1, 0, CUP), find_square(31, 0, CUP)],
    )
    assert corners(first) == [(0, 0), (31, 0)]
    assert corners(second) == [(30, 0), (1, 0)]


def test_a_track_ends_where_the_model_no_longer_sees_it() -> None:
    carrier = FakeCarrier([{0: carry_square(1, 0)}, {0: carry_square(2, 0)}, {}, {}])
    (cup,) = follow(carrier, [find_square(0, 0, CUP)], [find_square(1, 0, CUP)], [], [], [])
    assert corners(cup) == [(0, 0), (1, 0), (2, 0)]
    # It is looked for as long as it may come back.
    assert [list(masks) for masks in carrier.asked] == [[0]] * 4


def test_what_was_found_but_once_is_not_drawn_out() -> None:
    carrier = FakeCarrier([{0: carry_square(0, 0)}] * 3)
    (flicker,) = follow(carrier, [find_square(0, 0, CUP)], [], [], [])
    assert corners(flicker) == [(0, 0)]


def test_the_segmenter_has_the_last_word() -> None:
    # What is carried covers two objects that were found, one of which it goes on in.
    carrier = FakeCarrier([{0: carry_square(0, 0, side=20)}] * 2)
    whole = find_square(0, 0, CUP, side=20)
    halves = [find_square(0, 0, TREE, side=14), find_square(0, 14, ELSE, side=20)]
    tracks = follow(carrier, [whole], [whole], halves)
    assert [corners(track) for track in tracks] == [[(0, 0), (0, 0)], [(0, 0)], [(0, 14)]]


def test_what_was_found_in_a_small_part_of_it_does_not_end_it() -> None:
    carrier = FakeCarrier([{0: carry_square(0, 0, side=20)}] * 2)
    man, hat = find_square(0, 0, CUP, side=20), find_square(5, 0, TREE, side=6)
    tracks = follow(carrier, [man], [man], [hat])
    assert [corners(track) for track in tracks] == [[(0, 0)] * 3, [(5, 0)]]


def test_of_two_that_are_carried_to_one_place_the_likelier_goes_on() -> None:
    ends = {0: carry_square(20, 0, score=0.7), 1: carry_square(21, 0, score=0.8)}
    stays = {0: carry_square(0, 0), 1: carry_square(40, 0)}
    found = [find_square(0, 0, CUP), find_square(40, 0, TREE)]
    first, second = follow(FakeCarrier([stays, ends]), found, found, [])
    assert corners(first) == [(0, 0), (0, 0)]
    assert corners(second) == [(40, 0), (40, 0), (21, 0)]


def test_what_is_carried_does_not_come_back_elsewhere() -> None:
    # Another that looks the same appears where this one is not.
    stays = {0: carry_square(0, 0)}
    cup, other = find_square(0, 0, CUP), find_square(60, 40, CUP)
    first, second = follow(FakeCarrier([stays, stays]), [cup], [cup], [other])
    assert corners(first) == [(0, 0)] * 3
    assert corners(second) == [(60, 40)]


def test_new_tracks_have_numbers_of_their_own() -> None:
    cup, tree = find_square(0, 0, CUP), find_square(40, 0, TREE)
    carrier = FakeCarrier([{}, {}, {}])
    follow(carrier, [cup], [cup, tree], [cup, tree], [cup])
    assert carrier.asked == [
        {0: cup.mask},
        {0: cup.mask, 1: tree.mask},
        {0: cup.mask, 1: tree.mask},
    ]
