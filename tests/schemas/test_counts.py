"""Counts of several runs, together."""

from __future__ import annotations

from schemas.counts import IngestCounts


def test_every_number_is_added_up_and_all_is_listed_once_each_has_listed_all() -> None:
    numbers = IngestCounts.model_fields.keys() - {"all_listed"}
    first = IngestCounts(**dict.fromkeys(numbers, 2), all_listed=True)
    second = IngestCounts(**dict.fromkeys(numbers, 3), all_listed=True)
    together = IngestCounts(**dict.fromkeys(numbers, 5), all_listed=True)
    assert IngestCounts.add_up([first, second]) == together
    assert not IngestCounts.add_up([first, IngestCounts()]).all_listed
