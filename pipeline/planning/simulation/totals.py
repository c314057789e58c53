"""Counts what happens in a simulated run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Totals:
    """Of all jobs. Images are `done` once their rows are written, whatever came of them.

    `chunks` that workers began, of which `chunks_again` had been begun before, wholly or in part;
    `images_again` are those of them. `busy_s` of workers, of which `lost_s` came to nothing;
    `deaths` of workers, `stops` of machines; `given_up` images ended two of them alone; `failed`
    could not be read. `history`: seconds and images done, now and then.
    """

    done: int = 0
    rejected: int = 0
    given_up: int = 0
    failed: int = 0
    chunks: int = 0
    chunks_again: int = 0
    images_again: int = 0
    busy_s: float = 0.0
    lost_s: float = 0.0
    deaths: int = 0
    stops: int = 0
    history: list[tuple[float, int]] = field(default_factory=list)
