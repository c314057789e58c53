"""Does the same for several crops on a CUDA device side by side, each on a stream of its own.

Deciding what to ask next takes a CPU's time, in which the device would wait, and many of its
kernels leave most of it idle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 4
_own = threading.local()


def map_side_by_side(
    function: Callable[[Item], Result], items: Sequence[Item], device: torch.device
) -> list[Result]:
    """The results in order; on another device one after the other.

    What `items` hold may still be under way on the device; the results are done. `function` must
    bear being called in several threads at once.
    """
    if device.type != "cuda" or len(items) == 1:
        return [function(item) for item in items]
    begun = torch.cuda.current_stream(device).record_event()

    def run(item: Item) -> Result:
        if not hasattr(_own, "streams"):
            _own.streams = {}
        if device not in _own.streams:
            _own.streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream: torch.cuda.Stream = _own.streams[device]
        with torch.cuda.stream(stream):
            stream.wait_event(begun)
            result = function(item)
            stream.synchronize()
        return result

    return list(_pool().map(run, items))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="crop")
