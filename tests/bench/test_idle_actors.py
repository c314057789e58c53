"""The idle share of model actors is of what they tell once all have had a full chunk."""

from __future__ import annotations

import math
from typing import cast

from bench.idle_actors import ActorClock
from pipeline.observing.work_reports import StageSpan, WorkReport
from schemas.images import ImageRef


def note(clock: ActorClock, images: int, waited_s: float) -> None:
    """Work of 2 s on a chunk that was read in 10."""
    spans = (StageSpan("read", 0, 10), StageSpan("segment", 10, 1.5), StageSpan("embed", 11, 0.5))
    refs = cast(list[ImageRef], [None] * images)
    clock.note_worked(refs, WorkReport(spans, waited_s=waited_s))


def test_waits_count_once_each_worker_has_had_a_full_chunk() -> None:
    clock = ActorClock(workers=2, full=8)
    for images, waited_s in ((1, 5.0), (8, 5.0), (4, 5.0), (8, 5.0)):
        note(clock, images, waited_s)
    assert math.isnan(clock.idle_share)
    note(clock, 8, 0.0)
    note(clock, 3, 1.0)
    assert clock.idle_share == 0.2


def test_a_report_adds_up_waits() -> None:
    assert WorkReport(waited_s=1.0).plus(WorkReport(waited_s=2.0)).waited_s == 3.0
