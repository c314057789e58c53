"""Queues searches: a single thread owns the index and the models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

from pipeline.search.searcher import Searcher
from pipeline.service.problems import ProblemError

_MAX_WAITING = 256
_MAX_FILMS = 8
_T = TypeVar("_T")


class SearchQueue:
    """Runs jobs that need the searcher one by one on a thread of their own, and others beside it.

    The embedded engine keeps Python's lock during a call, and models take all cores anyway: more
    threads would only make the order less fair.
    """

    def __init__(self, searcher: Searcher, timeout_s: float, drawers: int = 2) -> None:
        self.searcher = searcher
        self._timeout_s = timeout_s
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._drawing = ThreadPoolExecutor(drawers, thread_name_prefix="draw")
        self._finding = ThreadPoolExecutor(1, thread_name_prefix="find")
        self._filming = ThreadPoolExecutor(1, thread_name_prefix="film")
        self._films = 0
        self._limits: set[asyncio.Timeout] = set()
        self._ends_at_s: float | None = None
        self.waiting = 0
        self.closed = False

    async def run(self, job: Callable[[Searcher], _T], timeout_s: float | None = None) -> _T:
        """What `job` returns. Raises ProblemError if it takes too long, or too many wait."""
        return await self._submit(self._searching, lambda: job(self.searcher), timeout_s)

    async def draw(self, job: Callable[[], _T]) -> _T:
        """Likewise for a job that needs no searcher."""
        return await self._submit(self._drawing, job, None)

    async def find(self, job: Callable[[], _T], timeout_s: float | None = None) -> _T:
        """Likewise for a job that takes seconds and more, one by one: no search waits for it."""
        return await self._submit(self._finding, job, timeout_s)

    async def film(self, job: Callable[[], _T]) -> _T:
        """Likewise for a clip, one by one: no picture waits for it, and few clips do."""
        if self._films >= _MAX_FILMS:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many clips are waited for",
                {"Retry-After": "2"},
            )
        self._films += 1
        try:
            return await self._submit(self._filming, job, None)
        finally:
            self._films -= 1

    async def wait_for(self, event: Awaitable[_T], timeout_s: float | None = None) -> _T:
        """What `event` comes to. Raises ProblemError if it takes too long, or the service ends."""
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(timeout_s or self._timeout_s)
        try:
            async with limit:
                self._limits.add(limit)
                self._bring_forward(limit)
                return await event
        except TimeoutError:
            if self._ends_at_s is not None and loop.time() >= self._ends_at_s:
                raise ending_problem() from None
            raise ProblemError(
                HTTPStatus.GATEWAY_TIMEOUT,
                "the request took too long",
                {"Retry-After": "5"},
            ) from None
        finally:
            self._limits.discard(limit)

    def swap(self, searcher: Searcher) -> None:
        """Use `searcher` from the next job on, and close the one before it."""
        self._searching.submit(self._swap, searcher).result()

    def _swap(self, searcher: Searcher) -> None:
        previous, self.searcher = self.searcher, searcher
        previous.close()

    @property
    def is_ending(self) -> bool:
        """Whether the service is coming to its end."""
        return self._ends_at_s is not None

    def end_waiting(self, grace_s: float) -> None:
        """Wait for no job longer than `grace_s` from now on, as the service ends.

        To be called in the event loop, in which the others wait.
        """
        self._ends_at_s = asyncio.get_running_loop().time() + grace_s
        for limit in self._limits:
            self._bring_forward(limit)

    def _bring_forward(self, limit: asyncio.Timeout) -> None:
        when = limit.when()
        if self._ends_at_s is not None and not limit.expired():
            limit.reschedule(self._ends_at_s if when is None else min(when, self._ends_at_s))

    def close(self) -> None:
        """Wait for the jobs at work, then close the index."""
        self.closed = True
        self._searching.shutdown(wait=True, cancel_futures=True)
        self._drawing.shutdown(wait=True, cancel_futures=True)
        self._finding.shutdown(wait=True, cancel_futures=True)
        self._filming.shutdown(wait=True, cancel_futures=True)
        self.searcher.close()

    async def _submit(
        self, pool: ThreadPoolExecutor, job: Callable[[], _T], timeout_s: float | None
    ) -> _T:
        if self.waiting >= _MAX_WAITING:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many requests are waiting",
                {"Retry-After": "1"},
            )
        self.waiting += 1
        try:
            running = asyncio.get_running_loop().run_in_executor(pool, job)
            return await self.wait_for(running, timeout_s)
        finally:
            self.waiting -= 1


def ending_problem() -> ProblemError:
    """What is answered to those who wait when the service ends."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE, "the service is being stopped", {"Retry-After": "5"}
    )
