"""Sums up requests to an object store: how many, of how many bytes, and how many one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """One request, from its head to the last byte of its answer; seconds of one clock."""

    method: str
    path: str
    began_s: float
    ended_s: float
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What some requests come to. `received_mb` is of 10^6 bytes."""

    requests: int
    rounds: int
    received_mb: float

    @classmethod
    def of(cls, log: Iterable[Request]) -> Self:
        requests = list(log)
        received = sum(request.received_bytes for request in requests)
        return cls(len(requests), count_rounds(requests), received / 1e6)


def count_rounds(log: Iterable[Request]) -> int:
    """The longest chain of requests of which each began when the one before had ended."""
    events = sorted(
        (moment, is_begin, place)
        for place, request in enumerate(log)
        for moment, is_begin in ((request.began_s, True), (request.ended_s, False))
    )
    depths: dict[int, int] = {}
    deepest = 0
    for _, is_begin, place in events:
        if is_begin:
            depths[place] = 1 + deepest
        else:
            deepest = max(deepest, depths[place])
    return deepest
