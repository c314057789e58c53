"""How many images go into a chunk, and when one has to be taken for hung."""

from __future__ import annotations

import pytest

from pipeline.runners.ray_pool import time_limits
from pipeline.runners.ray_pool.time_limits import Pace, StallTimer


def test_one_image_at_a_time_until_it_is_known_how_long_they_take() -> None:
    pace = Pace(300)
    assert (pace.known, pace.most_images) == (False, 1)
    pace.record(1, 5)
    assert (pace.known, pace.most_images) == (True, 4)
    # The first is slower than others: models warm up.
    pace.record(4, 2)
    assert pace.most_images == 7


def test_images_that_take_minutes_go_alone() -> None:
    pace = Pace(300)
    pace.record(1, 90)
    assert pace.most_images == 1


def test_an_image_is_given_up_before_the_run_is() -> None:
    pace = Pace(300)
    limits = []
    for _ in range(4):
        limits.append(pace.limit_s(1))
        pace.record_timeout()
    assert limits == [37.5, 75, 150, 150]
    assert sum(limits[:3]) < 300


def test_a_chunk_may_take_some_times_what_was_seen() -> None:
    pace = Pace(300)
    pace.record(2, 4)
    assert pace.limit_s(1) == 60
    assert pace.limit_s(5) == 80
    pace.record(1, 1)  # the slowest counts
    assert pace.limit_s(5) == 80
    assert pace.limit_s(100) == 300


def test_a_listing_holds_off_a_stall_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time_limits.time, "monotonic", lambda: now)
    timer = StallTimer(10)
    listing = timer.restart_with_each(["one"])
    now = 11
    assert timer.expired
    assert next(listing, None) == "one"
    assert not timer.expired
    now = 22
    assert next(listing, None) is None
    assert not timer.expired
    # To ask again for what has ended is no progress.
    now = 33
    assert next(listing, None) is None
    assert timer.expired
