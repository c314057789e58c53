"""Keeps what a service knows of its index in step with what other processes write to it."""

from __future__ import annotations

from pipeline.search.searcher import Searcher
from pipeline.service.search_queue import SearchQueue

_TIMEOUT_S = 3600


async def follow_index(queue: SearchQueue) -> None:
    """Have the searcher look at its index again, if that has another number of points than it had.

    To count points is cheap, all else may read much: searches go on meanwhile. Raises ObjseekError.
    """
    searcher = queue.searcher
    if await queue.find(searcher.index.count, _TIMEOUT_S) == searcher.info.points:
        return
    info = await queue.find(searcher.index.info, _TIMEOUT_S)

    def take(current: Searcher) -> None:
        if current is searcher:  # else another generation has come into use
            current.refresh(info)

    await queue.run(take, _TIMEOUT_S)
