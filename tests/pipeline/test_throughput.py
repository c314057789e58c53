"""How long the rest takes, held against what it took in recorded runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.throughput import (
    Throughput,
    WorkedChunk,
    estimate_rate,
    estimate_seconds_left,
)

TRACES = json.loads(Path(__file__).with_name("throughput_traces.json").read_text())
"""Of runs of the demo: of each chunk that a worker ended, the seconds since the start, its images,
the seconds it took, whether it was its worker's first, and how many workers there were then."""


@pytest.mark.parametrize("name", TRACES)
def test_the_rest_takes_what_was_foretold_within_a_factor_of_two(name: str) -> None:
    trace = TRACES[name]
    total, end_s = sum(images for _, images, *_ in trace), trace[-1][0]
    chunks: list[WorkedChunk] = []
    done = known = 0
    for at_s, images, seconds, first, workers in trace:
        chunks.append(WorkedChunk(images, seconds, first))
        done += images
        foretold_s = estimate_seconds_left(total - done, chunks[-64:], workers)
        if foretold_s is None:
            assert done < max(3, workers + 1)
            continue
        known += 1
        left_s = end_s - at_s
        # Nobody knows how far the chunks are that workers are at.
        slack_s = sum(chunk.seconds for chunk in chunks if not chunk.first) / known / 2
        assert left_s / 2 - slack_s <= foretold_s <= 2 * left_s + slack_s
    assert known >= len(trace) - workers


def test_bursts_and_warming_up_do_not_count() -> None:
    # Eight workers take 40 s to get ready, then 4 s for each chunk of two images.
    firsts = [WorkedChunk(1, 40 + number / 10, first=True) for number in range(8)]
    assert estimate_rate(firsts, 8) is None
    assert estimate_seconds_left(100, firsts, 8) is None
    assert estimate_rate([*firsts, WorkedChunk(2, 4.0)], 8) == pytest.approx(4.0)


def test_a_worker_that_ends_finds_the_others_half_done() -> None:
    chunks = [WorkedChunk(1, 3.0), WorkedChunk(1, 5.0)]
    assert estimate_seconds_left(10, chunks, 1) == pytest.approx(40.0)
    assert estimate_seconds_left(10, chunks, 2) == pytest.approx(9.5 * 2.0)
    assert estimate_seconds_left(1, chunks, 4) == pytest.approx(0.5)
    assert estimate_seconds_left(0, chunks, 4) == 0.0


def test_only_the_latest_chunks_count() -> None:
    throughput = Throughput(workers=2)
    assert throughput.rate is None
    throughput.record(WorkedChunk(1, 100.0))
    assert throughput.rate == pytest.approx(0.02)
    for _ in range(64):
        throughput.record(WorkedChunk(1, 0.5))
    assert throughput.rate == pytest.approx(4.0)
    assert throughput.estimate_seconds_left(101) == pytest.approx(25.125)
    throughput.workers = 0
    assert throughput.rate is None
