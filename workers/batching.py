"""Splits items into lists: of a size, or of as many as there is memory for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_R = TypeVar("_R")
# What torch, cuBLAS and cuDNN say of it, in lower case: the first has a class of errors for a GPU
# alone.
_TOO_LITTLE = ("out of memory", "defaultcpuallocator", "alloc_failed")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size` items, the last may be shorter. Streamed: no item is read ahead."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


class WithinMemory(Generic[_T, _R]):
    """Does `work` on items, as many at once as there is memory for; it has a result for each.

    `at_once` is how many that are, None: as many as come. It is halved where they were too many,
    whose work is then done again, and does not grow: items to come are likely to be no smaller.
    """

    def __init__(self, work: Callable[[Sequence[_T]], Iterable[_R]], noun: str) -> None:
        """`noun`: what the items are, in the plural."""
        self._work = work
        self._noun = noun
        self.at_once: int | None = None

    def __call__(self, items: Sequence[_T]) -> list[_R]:
        """One result for each. Raises what `work` raises, also where one item is too large."""
        results: list[_R] = []
        while len(results) < len(items):
            part = items[len(results) :][: self.at_once]
            try:
                results.extend(self._work(part))
                continue
            except Exception as exc:
                if len(part) == 1 or not is_out_of_memory(exc):
                    raise
            # Only here, where the error no longer holds what the work had in memory.
            self._halve(len(part))
        return results

    def lower(self, at_once: int | None) -> None:
        """Take as many as another has found to fit, if that is fewer."""
        if at_once is not None:
            self.at_once = min(at_once, self.at_once or at_once)

    def _halve(self, tried: int) -> None:
        free_memory()
        self.at_once = (tried + 1) // 2
        _log.warning("no memory for %d %s at once: from now on %d", tried, self._noun, self.at_once)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is memory that was lacking, of the machine or of a device."""
    cause = error.__cause__ or error
    if isinstance(cause, MemoryError):
        return True
    return isinstance(cause, RuntimeError) and any(
        words in str(cause).lower() for words in _TOO_LITTLE
    )


def free_memory() -> None:
    """Have torch give a GPU's memory back that it keeps for later, if it is in use at all."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
