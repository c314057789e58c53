"""Simulates the readers of a job: they fetch the images of a chunk, and decode them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.planning.simulation.world import World
from schemas.options import StoreOptions
from workers.backoff import Backoff

Later = Callable[[float, Callable[[], None]], None]
"""Has something done so many seconds later, unless its job has ended by then."""
_LONGEST_S = 20.0
"""What no pause of boto3's standard mode is longer than; the first is at most a second."""


@dataclass(frozen=True, slots=True)
class ReadPace:
    """`readers` with `at_once` requests each, of `read_s`; `decode_s` of one reader an image."""

    readers: int
    at_once: int
    read_s: float
    decode_s: float


@dataclass
class _Fetch:
    """A chunk on its way: images that nobody has asked for yet, and what is still open."""

    images: int
    then: Callable[[int], None]
    unasked: int
    open: int = 0
    failed: int = 0


class Readers:
    """As many chunks at a time as there are readers; the others wait their turn.

    What the store refuses is asked for again, by boto3 and by `Backoff`, with their pauses, and
    fails once the budget of the latter is spent.
    """

    def __init__(self, pace: ReadPace, world: World, later: Later) -> None:
        self._pace, self._store, self._random = pace, world.store, world.random
        self._later = later
        self._options = StoreOptions()
        self.restart()

    def restart(self) -> None:
        """Forget what is read: its job begins anew."""
        self._free = self._pace.readers
        self._waiting: deque[tuple[int, Callable[[int], None]]] = deque()

    def read(self, images: int, then: Callable[[int], None]) -> None:
        """Have so many images read; `then` gets how many of them failed."""
        self._waiting.append((images, then))
        self._begin()

    def _begin(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            images, then = self._waiting.popleft()
            fetch = _Fetch(images, then, images)
            if self._store.gets_per_s is None:
                # Nothing is refused: one event for all of them.
                self._store.admit(images)
                self._later(images * self._pace.read_s / self._pace.at_once, self._decode(fetch))
                continue
            for _ in range(min(self._pace.at_once, images)):
                self._ask_next(fetch)

    def _ask_next(self, fetch: _Fetch) -> None:
        if fetch.unasked:
            fetch.unasked -= 1
            fetch.open += 1
            self._ask(fetch, self._list_pauses())
        elif not fetch.open:
            self._decode(fetch)()

    def _ask(self, fetch: _Fetch, pauses: Iterator[float]) -> None:
        if self._store.admit(1):
            self._later(self._pace.read_s, lambda: self._close(fetch))
            return
        pause_s = next(pauses, None)
        if pause_s is None:
            fetch.failed += 1
            self._close(fetch)
            return
        self._later(pause_s, lambda: self._ask(fetch, pauses))

    def _close(self, fetch: _Fetch) -> None:
        fetch.open -= 1
        self._ask_next(fetch)

    def _list_pauses(self) -> Iterator[float]:
        """Of one image, until it is given up."""
        backoff = Backoff(self._options.retry_budget_s)
        waited_s = 0.0
        for number, bound in enumerate(backoff.list_bounds()):
            for retry in range(self._options.max_attempts - 1):
                pause_s = self._random.uniform(0, min(2.0**retry, _LONGEST_S))
                # The budget counts from the first failure that boto3 lets through.
                waited_s += pause_s if number else 0.0
                yield pause_s
            pause_s = self._random.uniform(0, bound)
            waited_s += pause_s
            if waited_s > backoff.budget_s:
                return
            yield pause_s

    def _decode(self, fetch: _Fetch) -> Callable[[], None]:
        return lambda: self._later(
            fetch.images * self._pace.decode_s, lambda: self._end(fetch.failed, fetch.then)
        )

    def _end(self, failed: int, then: Callable[[int], None]) -> None:
        self._free += 1
        self._begin()
        then(failed)
