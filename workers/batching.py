"""Some items at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size` items, the last may be shorter. Streamed: no item is taken ahead."""
    items = iter(items)
    while some := list(islice(items, size)):
        yield some
