"""When a service looks again at what a job has written: at once for the first, later at times."""

from __future__ import annotations

import pytest
from support.index_cases import embedded, unit

from pipeline.service import job_progress
from pipeline.service.job_progress import JobProgress


class Clock:
    """Stands in for the module `time`."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_the_first_objects_are_looked_at_as_soon_as_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, looked_at = Clock(), list[float]()
    monkeypatch.setattr(job_progress, "time", clock)
    progress = JobProgress(lambda: looked_at.append(clock.now_s - 100))
    for second in range(26):
        clock.now_s = 100.0 + second
        if second == 3:
            progress.add_results([embedded("a.jpg", unit(0, 2))])
        progress.advance()
    assert looked_at == [3, 14, 25]
