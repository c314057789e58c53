"""Splits a stream of items into lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size` items, the last may be shorter. Streamed: no item is read ahead."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
