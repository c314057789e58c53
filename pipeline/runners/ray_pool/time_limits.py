"""Measures how long images take: how many fit a chunk, when one is hung, when a run stalls."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

_T = TypeVar("_T", bound=Sized)
_CHUNK_SHARE = 1 / 15
_LEAST_SHARE = 1 / 5
_FIRST_SHARE, _MOST_AT_FIRST = 1 / 8, 1 / 2
_SLOWER = 8.0
"""An image may take this many times what the slowest has taken."""


class Pace:
    """Measured by chunks that have been worked on.

    A hung image must be found, by halving its chunk, before a run that gets no further is ended: so
    a chunk takes a small part of `stall_timeout_s`, as soon as it is known how long one takes. As
    long as it is not known, a model may just be slow: each worker ended in vain doubles the limit,
    so that three fit into the timeout, after which an image is given up.
    """

    def __init__(self, stall_timeout_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._usual_s: float | None = None
        self._slowest_s = 0.0
        self._first_share = _FIRST_SHARE

    @property
    def known(self) -> bool:
        """Whether anything has been worked on."""
        return self._usual_s is not None

    def record(self, images: int, seconds: float) -> None:
        """`images` have been worked on in `seconds`, one after the other or together."""
        each = seconds / images
        self._slowest_s = max(self._slowest_s, each)
        # The first chunk says little: models warm up.
        self._usual_s = each if self._usual_s is None else (self._usual_s + each) / 2

    def record_timeout(self) -> None:
        """A worker has been ended at the limit."""
        self._first_share = min(2 * self._first_share, _MOST_AT_FIRST)

    @property
    def most_images(self) -> int:
        """How many a chunk may have; one until it is known how long that takes."""
        if self._usual_s is None:
            return 1
        return max(1, int(_CHUNK_SHARE * self._stall_timeout_s / max(self._usual_s, 1e-6)))

    def limit_s(self, images: int) -> float:
        """For how long a worker may be at a chunk of `images`."""
        if self._usual_s is None:
            return self._first_share * self._stall_timeout_s
        likely = max(_LEAST_SHARE * self._stall_timeout_s, _SLOWER * self._slowest_s * images)
        return min(likely, self._stall_timeout_s)


class StallTimer:
    """Runs out when a run has got no further for `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.restart()

    def restart(self) -> None:
        """The run has got further."""
        self._moved_at = time.monotonic()

    def restart_with_each(self, items: Iterable[_T]) -> Iterator[_T]:
        """The same items; restarts when each has come that is not empty, and at their end."""
        for item in items:
            if item:
                self.restart()
            yield item
        self.restart()

    @property
    def expired(self) -> bool:
        return time.monotonic() > self._moved_at + self.timeout_s
