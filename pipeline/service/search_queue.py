"""Queues searches: a single thread owns the index and the models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

from pipeline.search.searcher import Searcher
from pipeline.service.problems import ProblemError

_MAX_WAITING = 256
_T = TypeVar("_T")


class SearchQueue:
    """Runs jobs that need the searcher one by one on a thread of their own, and drawing on others.

    The embedded engine keeps Python's lock during a call, and models take all cores anyway: more
    threads would only make the order less fair.
    """

    def __init__(self, searcher: Searcher, timeout_s: float, drawers: int = 2) -> None:
        self.searcher = searcher
        self._timeout_s = timeout_s
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._drawing = ThreadPoolExecutor(drawers, thread_name_prefix="draw")
        self.waiting = 0
        self.closed = False

    async def run(self, job: Callable[[Searcher], _T], timeout_s: float | None = None) -> _T:
        """What `job` returns. Raises ProblemError if it takes too long, or too many wait."""
        return await self._submit(self._searching, lambda: job(self.searcher), timeout_s)

    async def draw(self, job: Callable[[], _T]) -> _T:
        """Likewise for a job that needs no searcher."""
        return await self._submit(self._drawing, job, None)

    def swap(self, searcher: Searcher) -> None:
        """Use `searcher` from the next job on, and close the one before it."""
        self._searching.submit(self._swap, searcher).result()

    def _swap(self, searcher: Searcher) -> None:
        previous, self.searcher = self.searcher, searcher
        previous.close()

    def close(self) -> None:
        """Wait for the jobs at work, then close the index."""
        self.closed = True
        self._searching.shutdown(wait=True, cancel_futures=True)
        self._drawing.shutdown(wait=True, cancel_futures=True)
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
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(pool, job)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.GATEWAY_TIMEOUT,
                "the request took too long",
                {"Retry-After": "5"},
            ) from None
        finally:
            self.waiting -= 1
